"""What plans differ in, on the golden ones: nothing is lost, nothing is invented, and little is called different."""

from __future__ import annotations

import random

import pytest

from tests.golden.cases import CASES
from utsuwa.plan import ops
from utsuwa.plan.compare import compare
from utsuwa.plan.plan import Plan, Step


def test_both_plans_can_be_read_out_of_it() -> None:
    dice = random.Random(4)
    plans = [make() for make in CASES.values()]
    for _ in range(150):
        first, second = dice.choice(plans), dice.choice(plans)
        changes = compare(first, second)
        before = [change for change in changes if change.before]
        after = [change for change in changes if change.after]
        assert [change.step for change in before] == list(first.steps)
        assert [change.step for change in after] == list(second.steps)
        assert [change.before for change in before] == list(range(1, len(before) + 1))
        assert [change.after for change in after] == list(range(1, len(after) + 1))


def test_a_plan_is_like_itself() -> None:
    for make in CASES.values():
        assert {change.sign for change in compare(make(), make())} == {" "}


def _plan(words: str) -> Plan:
    kinds = {"a": ops.Hostname, "b": ops.Mask}
    return Plan([Step(kinds[word[0]](word), "s") for word in words.split()])


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("", "", ""),
        ("", "a1", "+a1"),
        ("a1", "", "-a1"),
        ("a1 a2 a3", "a1 a3", " a1 -a2  a3"),
        ("a1 b1 a2", "a1 b2 a2", " a1 -b1 +b2  a2"),
        ("a1 b1", "a2 b2", "-a1 +a2 -b1 +b2"),
        ("a1", "b1 a2 b2", "+b1 -a1 +a2 +b2"),
        ("a1 a2 a3 a4", "a2 a3 a4 a5", "-a1  a2  a3  a4 +a5"),
    ],
)
def test_few_changes_and_like_beside_like(first: str, second: str, expected: str) -> None:
    found = compare(_plan(first), _plan(second))
    assert " ".join(f"{change.sign}{change.step.op.values()[0]}" for change in found) == expected

"""Plans as text: every change shows in a diff. ``UTSUWA_GOLDEN_UPDATE=1 pytest tests/golden`` rewrites them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.golden.cases import CASES
from utsuwa.plan.plan import Plan

PLANS = Path(__file__).parent / "plans"


def _text(plan: Plan) -> str:
    return plan.describe() + "".join(f"warning: {warning}\n" for warning in plan.warnings)


@pytest.mark.parametrize("name", CASES)
def test_plan_reads_as_stored(name: str) -> None:
    make: Callable[[], Plan] = CASES[name]
    stored = PLANS / f"{name}.txt"
    text = _text(make())
    if os.environ.get("UTSUWA_GOLDEN_UPDATE") == "1":
        stored.write_text(text)
    assert text == stored.read_text()


def test_no_stored_plan_is_left_over() -> None:
    assert {path.stem for path in PLANS.glob("*.txt")} == set(CASES)


def test_every_line_names_its_section() -> None:
    for make in CASES.values():
        for line in make().describe().splitlines():
            assert line.endswith("]") and "  [" in line, line


def test_planning_twice_gives_the_same_plan() -> None:
    for make in CASES.values():
        assert make().steps == make().steps

"""docs/birth.md explains the default plan as it is: ``UTSUWA_GOLDEN_UPDATE=1 pytest tests/golden`` rewrites it."""

from __future__ import annotations

import os

import pytest

from tests.golden.cases import default_on_v2, terminal_with_size
from tools.birth import PAGE, Unexplained, page
from utsuwa.plan.plan import Plan


def test_the_page_is_up_to_date() -> None:
    text = page(default_on_v2())
    if os.environ.get("UTSUWA_GOLDEN_UPDATE") == "1":
        PAGE.write_text(text)
    assert text == PAGE.read_text()


def test_every_operation_is_on_it() -> None:
    lines = PAGE.read_text().splitlines()
    for number, step in enumerate(default_on_v2().steps, 1):
        assert f"{number:2}  {step}" in lines


def test_what_nobody_has_given_a_reason_for_is_noticed() -> None:
    with pytest.raises(Unexplained, match="why a container needs"):
        page(terminal_with_size())


def test_a_reason_for_what_does_not_happen_is_noticed() -> None:
    with pytest.raises(Unexplained, match="Hostname"):
        page(Plan([step for step in default_on_v2().steps if type(step.op).__name__ != "Hostname"]))

"""The executor against plans of random operations (`python -m tests.security.fuzz_plan RUNS` for more of them)."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.needs import needs
from tests.security import fuzz_decoder, fuzz_plan
from tests.security.fuzz_plan import campaign
from tests.security.sanitized import decoder

pytestmark = needs("root")


def test_no_plan_crashes_it_or_makes_it_hang() -> None:
    """Proven by the test below, which sees executors that do."""
    assert campaign(0, 800) == ""


def test_the_decoder_reads_nothing_beyond_a_plan(tmp_path: Path) -> None:
    """Proven by the bounds in decode.c: with `size >= left` as `size > left + 8` the sanitizer ends it."""
    accepted, refused = fuzz_decoder.campaign(decoder(tmp_path), 0, 2000)
    assert accepted > 500
    assert refused > 200


@pytest.mark.parametrize(
    ("act", "problem"),
    [
        (lambda _data: os.kill(os.getpid(), signal.SIGSYS), "seed 5: killed by signal 31"),
        (lambda _data: signal.pause(), "seed 5: not done after 1 s"),
        (lambda _data: None, "seed 5: the executor was not started"),
    ],
    ids=["crash", "hang", "nothing"],
)
def test_what_would_be_noticed(monkeypatch: pytest.MonkeyPatch, act: Callable[[bytes], None], problem: str) -> None:
    monkeypatch.setattr(fuzz_plan, "_execute", act)
    monkeypatch.setattr(fuzz_plan, "SECONDS", 1)
    assert campaign(5, 1) == problem

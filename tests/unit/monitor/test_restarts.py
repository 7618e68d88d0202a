"""Whether and when a container is started again."""

from __future__ import annotations

import json
import os
import select
from pathlib import Path

import pytest

from utsuwa.linux import timer
from utsuwa.monitor.records import Exit, Start
from utsuwa.monitor.restarts import delay, wants


def ended(code: int, restarts: int = 0, seconds: int = 0) -> Exit:
    return Exit(
        number=1,
        exitCode=code,
        restarts=restarts,
        startedAt="2026-01-01T00:00:00Z",
        finishedAt=f"2026-01-01T00:00:{seconds:02}Z",
    )


@pytest.mark.parametrize(
    ("policy", "limit", "code", "restarts", "again"),
    [
        ("", 0, 1, 0, False),
        ("always", 0, 0, 1000, True),
        ("unless-stopped", 0, 1, 0, True),
        ("on-failure", 0, 0, 0, False),
        ("on-failure", 0, 1, 1000, True),
        ("on-failure", 3, 1, 2, True),
        ("on-failure", 3, 1, 3, False),
    ],
)
def test_policies(policy: str, limit: int, code: int, restarts: int, again: bool) -> None:
    assert wants(policy, limit, ended(code, restarts)) is again


@pytest.mark.parametrize(
    ("last", "seconds", "due"),
    [(0, 0, 100), (100, 0, 200), (51_200, 9, 60_000), (60_000, 1, 60_000), (60_000, 10, 100)],
)
def test_the_pause_doubles_until_it_ran_for_a_while(tmp_path: Path, last: int, seconds: int, due: int) -> None:
    (tmp_path / "container.json").write_text(json.dumps({"restart": "always"}))
    start = Start(id="a", directory=str(tmp_path), run="/r", delay=last)
    assert delay(start, ended(1, seconds=seconds)) == due
    (tmp_path / "stopped").touch()
    assert delay(start, ended(1, seconds=seconds)) is None


def test_timers_can_be_polled_for() -> None:
    clock = timer.create()
    waiting = select.poll()
    waiting.register(clock, select.POLLIN)
    assert not waiting.poll(0)
    timer.arm(clock, 5_000_000)
    assert waiting.poll(5000)
    timer.arm(clock, 10**12)
    assert not waiting.poll(0)
    os.close(clock)

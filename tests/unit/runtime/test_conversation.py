"""The conversation with a process that becomes the program: whose signals are those that come meanwhile."""

from __future__ import annotations

import os
from typing import Any

import pytest

from utsuwa.init.channel import EXECUTING, Report
from utsuwa.runtime import create
from utsuwa.runtime.undo import Interrupted

SIGTERM = 15


class _Child:
    """Is interrupted by a signal before it is heard of."""

    def __init__(self, executes: bool) -> None:
        self.pid = 12
        self._executes = executes
        self._next: list[Any] = [Interrupted(SIGTERM), *([Report(EXECUTING, 7)] if executes else [])]

    def next(self) -> Report | None:
        step = self._next.pop(0) if self._next else None
        if isinstance(step, Exception):
            raise step
        return step

    def executes(self) -> bool:
        return self._executes


class _Nothing:
    resources = manager = None
    recalled = awaits_cgroups = False

    def __init__(self, child: _Child) -> None:
        self.child = child


def _hold(child: _Child) -> None:
    nothing: Any = _Nothing(child)
    create.Conversation(nothing, nothing, nothing, nothing, runs=True).hold()


def test_a_signal_to_a_program_that_runs_is_the_program_s(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    _hold(_Child(executes=True))
    assert sent == [(12, SIGTERM)]


def test_a_signal_before_that_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("sent on"))
    with pytest.raises(Interrupted):
        _hold(_Child(executes=False))

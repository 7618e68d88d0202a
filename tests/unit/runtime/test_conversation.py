"""What the parent makes of a network that can't be set up."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace

import pytest

from utsuwa.errors import Error, from_oserror
from utsuwa.runtime.create import Conversation


def conversation(number: int) -> Conversation:
    """One whose network fails with an errno."""

    def plug(_pid: int, _descriptors: tuple[int, ...]) -> None:
        failure = OSError(number, os.strerror(number))
        raise from_oserror(failure, "connect to network lan") from failure

    made = Conversation.__new__(Conversation)
    made._plug, made._child, made._unplugged = plug, SimpleNamespace(pid=1), None  # type: ignore[assignment]
    return made


def test_a_process_that_has_ended_is_heard_first() -> None:
    talk = conversation(errno.ESRCH)
    talk._plug_in(())
    assert "no such process" in str(talk._unplugged)


def test_any_other_failure_is_told_at_once() -> None:
    with pytest.raises(Error, match="connect to network lan: operation not permitted"):
        conversation(errno.EPERM)._plug_in(())

"""Being a parent: orphans of the container come to the monitor (subreaper), and every end of a child wakes its loop."""

from __future__ import annotations

import _ctypes
import os
from _signal import SIG_DFL, SIG_IGN, SIGCHLD, set_wakeup_fd, signal

from utsuwa.errors import Internal

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_SIGKILL = 9
# The C half of ctypes only: the package costs 2.5 ms and 200 kB. Looked up where this is imported, before any fork.
_PRCTL = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type]


def become_subreaper() -> None:
    """Become the parent of orphaned descendants (prctl(2)): the container, once the process that created it has
    ended.
    """
    if _ctypes.call_function(_PRCTL, (_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)):
        raise Internal("become a subreaper: prctl failed")


def die_with_parent(wanted: bool) -> None:
    """Be killed when the parent ends, or no more (prctl(2), PR_SET_PDEATHSIG)."""
    _ctypes.call_function(_PRCTL, (_PR_SET_PDEATHSIG, _SIGKILL if wanted else 0, 0, 0, 0))


def wake_on_child() -> int:
    """A descriptor that can be read whenever a child has ended."""
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    set_wakeup_fd(write, warn_on_full_buffer=False)
    signal(SIGCHLD, _wake)
    return read


def ignore_children() -> None:
    """In a worker: the guard is told of the dead, our own (the creator) the kernel reaps."""
    set_wakeup_fd(-1)
    signal(SIGCHLD, SIG_IGN)


def forget_signals() -> None:
    """What a forked creator must not inherit: the wake-up descriptor and the handler."""
    set_wakeup_fd(-1)
    signal(SIGCHLD, SIG_DFL)


def reap() -> list[tuple[int, int]]:
    """Every child that has ended, as (pid, wait status)."""
    ended: list[tuple[int, int]] = []
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return ended
            ended.append((pid, status))
    except ChildProcessError:
        return ended


def _wake(_number: int, _frame: object) -> None:
    """Only a Python handler makes the interpreter write to the wake-up descriptor."""

"""Whose death concerns a worker: its parent's, and none of its children's."""

from __future__ import annotations

import _ctypes
from _signal import SIG_DFL, SIG_IGN, SIGCHLD, signal

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9
# The C half of ctypes only: the package costs 2.5 ms and 200 kB. Looked up where this is imported, before any fork.
_PRCTL = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type]


def die_with_parent(wanted: bool) -> None:
    """Be killed when the parent ends, or no more (prctl(2), PR_SET_PDEATHSIG)."""
    _ctypes.call_function(_PRCTL, (_PR_SET_PDEATHSIG, _SIGKILL if wanted else 0, 0, 0, 0))


def ignore_children() -> None:
    """In a worker: its child (the creator) the kernel reaps, and the guard tells of the container's end."""
    signal(SIGCHLD, SIG_IGN)


def heed_children() -> None:
    """In a creator, whose runtime waits for what it starts."""
    signal(SIGCHLD, SIG_DFL)

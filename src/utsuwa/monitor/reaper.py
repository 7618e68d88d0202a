"""Whose death concerns a worker: its parent's, and none of its children's."""

from __future__ import annotations

from _signal import SIG_DFL, SIG_IGN, SIGCHLD, SIGKILL, signal

from utsuwa.linux.libc import call

_PR_SET_PDEATHSIG = 1


def die_with_parent(wanted: bool) -> None:
    """Be killed when the parent ends, or no more (prctl(2), PR_SET_PDEATHSIG)."""
    call("prctl", _PR_SET_PDEATHSIG, SIGKILL if wanted else 0, 0, 0, 0)


def ignore_children() -> None:
    """In a worker: its child (the creator) the kernel reaps, and the guard tells of the container's end."""
    signal(SIGCHLD, SIG_IGN)


def heed_children() -> None:
    """In a creator, whose runtime waits for what it starts."""
    signal(SIGCHLD, SIG_DFL)

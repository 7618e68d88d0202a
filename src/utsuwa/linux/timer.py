"""Timers that are descriptors (timerfd_create(2)): whoever holds one can poll for it."""

from __future__ import annotations

import os
from struct import Struct

from utsuwa.linux.libc import call

_BOOTTIME = 7
_FLAGS = os.O_CLOEXEC | os.O_NONBLOCK
_SPEC = Struct("<qqqq")


def create() -> int:
    """A timer that is not set. Raises OSError."""
    return call("timerfd_create", _BOOTTIME, _FLAGS)


def arm(fd: int, nanoseconds: int) -> None:
    """Have the timer readable once, so many nanoseconds from now (0: at once); what it had to say before is gone."""
    seconds, rest = divmod(max(1, nanoseconds), 1_000_000_000)
    call("timerfd_settime", fd, 0, _SPEC.pack(0, 0, seconds, rest), None)

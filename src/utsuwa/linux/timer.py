"""Timers that are descriptors (timerfd_create(2)): whoever holds one can poll for it."""

from __future__ import annotations

import _ctypes
import os
from struct import Struct

_BOOTTIME = 7
_FLAGS = os.O_CLOEXEC | os.O_NONBLOCK
_SPEC = Struct("<qqqq")

# The C half of ctypes only: the package costs 2.5 ms. Looked up where this is imported, before any fork.
_LIBRARY = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
_CREATE, _SETTIME = _ctypes.dlsym(_LIBRARY, "timerfd_create"), _ctypes.dlsym(_LIBRARY, "timerfd_settime")


def create() -> int:
    """A timer that is not set. Raises OSError."""
    fd: int = _ctypes.call_function(_CREATE, (_BOOTTIME, _FLAGS))
    if fd < 0:
        raise OSError(0, "no more timers are to be had")
    return fd


def arm(fd: int, nanoseconds: int) -> None:
    """Have the timer readable once, so many nanoseconds from now (0: at once); what it had to say before is gone."""
    seconds, rest = divmod(max(1, nanoseconds), 1_000_000_000)
    _ctypes.call_function(_SETTIME, (fd, 0, _SPEC.pack(0, 0, seconds, rest), None))

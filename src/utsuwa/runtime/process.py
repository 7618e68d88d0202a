"""Processes as the runtime sees them: identity that survives pid reuse, killing, waiting, the subreaper."""

from __future__ import annotations

import errno
import os
from select import POLLIN, poll

from utsuwa.errors import InvalidArgument, from_oserror

SIGNALS = {
    "HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "IOT": 6, "BUS": 7, "FPE": 8, "KILL": 9, "USR1": 10,
    "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "STKFLT": 16, "CHLD": 17, "CLD": 17, "CONT": 18,
    "STOP": 19, "TSTP": 20, "TTIN": 21, "TTOU": 22, "URG": 23, "XCPU": 24, "XFSZ": 25, "VTALRM": 26, "PROF": 27,
    "WINCH": 28, "IO": 29, "POLL": 29, "PWR": 30, "SYS": 31, "UNUSED": 31, "RTMIN": 34, "RTMAX": 64,
}  # fmt: skip
"""Names (without SIG) and numbers of signal(7), the same on x86-64 and aarch64; the signal module costs 4 ms (enum)."""

_LAST_SIGNAL = 64
_PR_SET_CHILD_SUBREAPER = 36


def signal_number(text: str) -> int:
    """The signal that ``text`` names: with or without SIG, in any case, ``RTMIN+n``, ``RTMAX-n``, or a number from 0.

    Raises InvalidArgument.
    """
    name = text.upper().removeprefix("SIG") if len(text) < 16 else ""
    if name.isascii() and name.isdigit():
        number = int(name)
    elif name in SIGNALS:
        number = SIGNALS[name]
    elif name[:6] in ("RTMIN+", "RTMAX-") and name[6:].isascii() and name[6:].isdigit():
        number = SIGNALS[name[:5]] + int(name[5:])
    else:
        number = -1
    if not 0 <= number <= _LAST_SIGNAL:
        raise InvalidArgument(f'unknown signal "{text}"')
    return number


def start_time(pid: int) -> int | None:
    """Clock ticks from boot to the start of process ``pid`` (proc_pid_stat(5) field 22); None when gone or a zombie.

    With the pid it names a process for ever: pids are used again, pairs are not.
    """
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = os.read(descriptor, 4096)
    except ProcessLookupError:
        return None
    finally:
        os.close(descriptor)
    # The name (field 2) may hold spaces and parentheses: count from the last one.
    fields = text[text.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def send(pid: int, started: int, number: int) -> bool:
    """Send a signal to the process that is ``pid`` and began at ``started``; False when it is gone.

    By pidfd, opened before the start time is looked at, so that a process that took the pid over is never hit.
    """
    descriptor = open_process(pid, started)
    if descriptor is None:
        return False
    from _signal import pidfd_send_signal

    try:
        pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    except OSError as error:
        raise from_oserror(error, f"send signal {number} to process {pid}") from error
    finally:
        os.close(descriptor)
    return True


def await_end(pid: int, started: int, seconds: float) -> bool:
    """Wait until that process has ended; False when it is still there after ``seconds``."""
    descriptor = open_process(pid, started)
    if descriptor is None:
        return True
    try:
        return readable(descriptor, int(seconds * 1000))
    finally:
        os.close(descriptor)


def readable(descriptor: int, milliseconds: int | None) -> bool:
    """Wait until ``descriptor`` is readable (a pidfd: until the process has ended); False when the time is over."""
    waiting = poll()
    waiting.register(descriptor, POLLIN)
    return bool(waiting.poll(milliseconds))


def exit_code(wait_status: int) -> int:
    """What a shell reports for a wait status: the exit status, or 128 + the signal."""
    return 128 + (wait_status & 0x7F) if wait_status & 0x7F else wait_status >> 8 & 0xFF


def open_process(pid: int, started: int) -> int | None:
    """A pidfd of that very process, or None when it is gone (or a zombie)."""
    if pid <= 0:
        return None
    try:
        descriptor = os.pidfd_open(pid)
    except OSError as error:
        if error.errno in (errno.ESRCH, errno.EINVAL):
            return None
        raise from_oserror(error, f"open process {pid}") from error
    if start_time(pid) == started:
        return descriptor
    os.close(descriptor)
    return None


def become_subreaper() -> None:
    """Become the parent of orphaned descendants (PR_SET_CHILD_SUBREAPER, prctl(2)).

    Asked for only where it has an effect: the orphans of a container with its own pid namespace go to that namespace's
    first process whatever we do.
    """
    from utsuwa.linux.libc import call

    try:
        call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except OSError as error:
        raise from_oserror(error, "become a subreaper") from error

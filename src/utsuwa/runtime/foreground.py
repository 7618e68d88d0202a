"""Waiting for a process in the foreground: our signals go to it, and its exit status becomes ours."""

from __future__ import annotations

import os
from _signal import (
    SIG_BLOCK,
    SIG_SETMASK,
    SIG_UNBLOCK,
    SIGCHLD,
    SIGKILL,
    SIGSTOP,
    SIGURG,
    SIGWINCH,
    pthread_sigmask,
    set_wakeup_fd,
    signal,
    sigwaitinfo,
    valid_signals,
)

from utsuwa.runtime.process import exit_code
from utsuwa.runtime.undo import ENDING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.runtime.console import Terminal

_OWN_FAULTS = {4, 5, 7, 8, 11, 31}  # SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS: about us, not for the container


def wait(pid: int) -> int:
    """Wait for our child ``pid``, forwarding signals; its exit code (128 + n for signal n)."""
    forwarded = valid_signals() - _OWN_FAULTS - {SIGKILL, SIGSTOP, SIGURG}
    before = pthread_sigmask(SIG_BLOCK, forwarded)
    try:
        # What ended before SIGCHLD was blocked will send no more signal.
        while (code := reap(pid)) is None:
            number = sigwaitinfo(forwarded).si_signo
            if number != SIGCHLD:
                forward(pid, number)
        return code
    finally:
        pthread_sigmask(SIG_SETMASK, before)


def reap(pid: int) -> int | None:
    """Collect all children that have ended; the exit code of ``pid`` if it is among them."""
    code = None
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if ended == 0:
            return code
        if ended == pid:
            code = exit_code(status)


def forward(pid: int, number: int) -> None:
    """Send a signal on; our child can't be another process as long as nobody has waited for it."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


class Signals:
    """The same forwarding for a poll(2) loop: signals make ``descriptor`` readable."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.descriptor, self._wakeup = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        for number in valid_signals() - _OWN_FAULTS - {SIGKILL, SIGSTOP, SIGURG, SIGCHLD, 32, 33}:
            signal(number, _ignored)
        pthread_sigmask(SIG_UNBLOCK, ENDING)  # what was held back while the program began

    def deliver(self, terminal: Terminal) -> None:
        """Pass on what has arrived; a new size of our terminal goes to the container's terminal."""
        for number in os.read(self.descriptor, 512):
            if number == SIGWINCH:
                terminal.resize()
            else:
                forward(self._pid, number)


def _ignored(_number: int, _frame: object) -> None:
    """The wake-up descriptor carries the signal; only a handler in Python makes CPython write to it."""

"""Signals at the command line that are meant for a container."""

from __future__ import annotations

import os
from _signal import (
    SIG_UNBLOCK,
    SIGHUP,
    SIGINT,
    SIGQUIT,
    SIGTERM,
    SIGUSR1,
    SIGUSR2,
    SIGWINCH,
    getsignal,
    pthread_sigmask,
    set_wakeup_fd,
    signal,
)

FORWARDED = (SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2)
ENOUGH = 3
"""As many SIGINT or SIGTERM make Docker's client go away from a container that ignores them."""


def begin_interrupts() -> None:
    """Let Ctrl-C through: the launcher blocks it until there is somebody to say something better than a traceback."""
    pthread_sigmask(SIG_UNBLOCK, (SIGINT,))


class Signals:
    """Within a ``with``, signals wait in a pipe until the container can have them: from before it is started, so that a
    Ctrl-C at the wrong moment leaves no container behind that nobody attends.

    ``resize``: changes of the terminal's size, too. ``proxy``: those that end programs.
    """

    def __init__(self, *, resize: bool, proxy: bool = True) -> None:
        self._wanted = [SIGWINCH] if resize else []
        if proxy:
            self._wanted += FORWARDED
        self._old: list[tuple[int, object]] = []
        self._interrupts = 0
        self.attended = False
        """Somebody reads the pipe; before, the third interrupt ends the program."""
        self.descriptor = -1

    def __enter__(self) -> Signals:
        self.descriptor, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in self._wanted:
            self._old.append((number, getsignal(number)))
            signal(number, self._note)
        return self

    def __exit__(self, *_failure: object) -> None:
        os.close(set_wakeup_fd(-1))
        for number, handler in self._old:
            signal(number, handler)
        os.close(self.descriptor)

    def take(self) -> bytes:
        """The numbers of the signals that came, of those that were asked for."""
        return bytes(number for number in os.read(self.descriptor, 512) if number in self._wanted)

    def _note(self, number: int, _frame: object) -> None:
        self._interrupts += number in (SIGINT, SIGTERM)
        if self._interrupts >= ENOUGH and not self.attended:
            raise KeyboardInterrupt

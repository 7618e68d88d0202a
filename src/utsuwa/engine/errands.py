"""Errands: what takes its time, written once for callers that block and for event loops.

An errand is a generator. It looks at what is true, yields a :class:`Pause` that says when to look again, and returns
what was asked for. :func:`drive` runs one in the thread that calls it; an event loop waits for the same pauses in its
own way. Whoever drives adds the watch of a directory at the first pause that names it and comes back at once: what
changed before the watch was there has to be looked at, too.
"""

from __future__ import annotations

import os
import time
from select import POLLIN, poll

from utsuwa.runtime.process import open_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import TypeVar

    from utsuwa.linux.inotify import Inotify

    T = TypeVar("T")

BLIND = 0.05
"""Seconds between looks where the kernel has no watch left for us."""


class Pause:
    """Go on when one of ``processes`` (pid and start time) has ended, something in ``directory`` has changed, or
    ``seconds`` have passed, whichever is first.
    """

    __slots__ = ("directory", "processes", "seconds")

    def __init__(
        self, processes: tuple[tuple[int, int], ...] = (), directory: str = "", seconds: float | None = None
    ) -> None:
        self.processes, self.directory, self.seconds = processes, directory, seconds


class Sleeper:
    """Sleeps through the pauses of one errand, in a thread."""

    def __init__(self, seconds: float | None = None) -> None:
        """``seconds``: for how long all pauses may take together."""
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._queue: Inotify | None = None
        self._watched: set[str] = set()

    def sleep(self, pause: Pause) -> None:
        """Until the pause is over. Raises TimeoutError when the time of all is."""
        limit = pause.seconds
        if pause.directory and not self._watches(pause.directory):
            limit = BLIND if limit is None else min(limit, BLIND)
        elif pause.directory and self._fresh:
            return
        descriptors = self._open(pause)
        try:
            if len(descriptors) == len(pause.processes):
                self._poll(descriptors, limit)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _watches(self, directory: str) -> bool:
        """Changes of the directory are heard; ``_fresh``: only from now on."""
        self._fresh = directory not in self._watched
        if self._fresh:
            try:
                self._queue = self._queue or _queue()
                self._queue.add(directory)
            except OSError:
                return False
            self._watched.add(directory)
        return True

    def _open(self, pause: Pause) -> list[int]:
        """Descriptors of the processes, but of those that have gone."""
        found = (open_process(pid, began) for pid, began in pause.processes)
        return [descriptor for descriptor in found if descriptor is not None]

    def _poll(self, descriptors: list[int], limit: float | None) -> None:
        waiting = poll()
        for descriptor in descriptors:
            waiting.register(descriptor, POLLIN)
        if self._queue:
            waiting.register(self._queue.descriptor, POLLIN)
        rest = None if self._deadline is None else self._deadline - time.monotonic()
        if rest is not None and rest <= 0:
            raise TimeoutError
        seconds = min((each for each in (limit, rest) if each is not None), default=None)
        ready = waiting.poll(None if seconds is None else int(seconds * 1000) + 1)
        if ready and self._queue:
            self._queue.read()

    def close(self) -> None:
        """Let go of the watches."""
        if self._queue:
            self._queue.close()


def drive(errand: Generator[Pause, None, T], seconds: float | None = None) -> T:
    """What an errand returns, after its pauses. Raises TimeoutError after ``seconds``."""
    sleeper = Sleeper(seconds)
    try:
        while True:
            sleeper.sleep(next(errand))
    except StopIteration as end:
        value: T = end.value
        return value
    finally:
        errand.close()
        sleeper.close()


def _queue() -> Inotify:
    """Imported here: a command that waits for nothing need not pay for half of ctypes."""
    from utsuwa.linux.inotify import Inotify

    return Inotify()

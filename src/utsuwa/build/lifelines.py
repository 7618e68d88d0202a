"""The containers of a build that run at this moment, each at the end of a pipe: a word on it, or its end, and they
end.
"""

from __future__ import annotations

import os
from _thread import allocate_lock

from utsuwa.errors import Error


class Stopped(Error):
    """Another stage has failed, or the build was interrupted."""


class Lifelines:
    """The pipes; ``lock`` is held while a process is forked, so that it inherits no half-made neighbour."""

    def __init__(self) -> None:
        self.lock = allocate_lock()
        self.stopped = False
        self.pipes: set[int] = set()

    def check(self) -> None:
        """Raise Stopped when nothing more is to be begun."""
        if self.stopped:
            raise Stopped("stopped, since another stage has failed")

    def add(self, pipe: int) -> None:
        """A container is about to run; within the lock."""
        self.check()
        self.pipes.add(pipe)

    def drop(self, pipe: int) -> None:
        """It has ended: close its pipe."""
        with self.lock:
            self.pipes.discard(pipe)
            os.close(pipe)

    def stop(self) -> None:
        """Begin nothing more, and end what runs."""
        with self.lock:
            self.stopped = True
            for pipe in self.pipes:
                os.write(pipe, b"!")

"""Waiting for changes of directories (inotify(7)); Python has no call for it."""

from __future__ import annotations

import os
from _struct import unpack_from
from errno import EINTR
from select import POLLIN, poll

from utsuwa.linux.libc import call

_MODIFY, _MOVED_TO, _CREATE = 0x2, 0x80, 0x100
_CLOEXEC_NONBLOCK = os.O_CLOEXEC | os.O_NONBLOCK
_EVENT = 16
"""Bytes before the name: watch, mask, cookie, length of the name."""


class Inotify:
    """One queue for the changes of many directories. ``descriptor`` is readable when there is news."""

    def __init__(self) -> None:
        """Raises OSError when the user has as many as the kernel allows."""
        try:
            self.descriptor = call("inotify_init1", _CLOEXEC_NONBLOCK)
        except OSError as error:
            raise OSError(error.errno, "too many inotify watches (fs.inotify.max_user_instances)") from error

    def add(self, directory: str) -> int:
        """Hear of what is written, made or moved into a directory; the number that ``read`` gives for it. Raises
        OSError where there is no such directory, or the user's limit of watches is reached.
        """
        try:
            return call("inotify_add_watch", self.descriptor, os.fsencode(directory), _MODIFY | _MOVED_TO | _CREATE)
        except OSError as error:
            raise OSError(error.errno, "can't be watched", directory) from error

    def remove(self, number: int) -> None:
        """Hear of a directory no more."""
        try:
            call("inotify_rm_watch", self.descriptor, number)
        except OSError:  # the directory is gone, and its watch with it
            pass

    def read(self) -> set[int]:
        """The numbers of the directories with news, without waiting; -1 stands for all: the queue has overflowed."""
        found: set[int] = set()
        while True:
            try:
                data = os.read(self.descriptor, 1 << 16)
            except BlockingIOError:
                return found
            at = 0
            while at < len(data):
                number, _mask, _cookie, length = unpack_from("iIII", data, at)
                found.add(number)
                at += _EVENT + length

    def close(self) -> None:
        """Let go of everything."""
        os.close(self.descriptor)


class Watch:
    """Wakes up when something in the directory was written, made or moved there; more than that is not told."""

    def __init__(self, directory: str) -> None:
        """Raises OSError where there is no such directory, or the user's limit of watches is reached."""
        self._queue = Inotify()
        try:
            self._queue.add(directory)
        except OSError:
            self._queue.close()
            raise
        self.descriptor = self._queue.descriptor
        self._poll = poll()
        self._poll.register(self.descriptor, POLLIN)

    def wait(self, milliseconds: float | None = None) -> bool:
        """Wait for a change, at most so long; False when there was none."""
        try:
            if not self._poll.poll(milliseconds):
                return False
            self._queue.read()
        except OSError as error:
            if error.errno != EINTR:
                raise
        return True

    def close(self) -> None:
        """Stop watching."""
        self._queue.close()

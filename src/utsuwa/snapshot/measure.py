"""How much a tree holds that somebody may be changing meanwhile, and may have made as deep as they like."""

from __future__ import annotations

import os
import stat

from utsuwa.snapshot.tree import DIRECTORY_FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_OPEN = 64
"""Levels of which the directories stay open; from deeper ones it goes back by way of ``..``."""


def disk_usage(directory: str) -> int:
    """Bytes on disk of what is in a tree, see :func:`attributes`."""
    return sum(state.st_blocks for state in attributes(directory)) * 512


def attributes(directory: str) -> Iterator[os.stat_result]:
    """Of everything beneath a directory, hard links once; no link is followed, and what vanishes is left out.

    Directories deep down that are moved meanwhile may hide what was beside them.
    """
    seen = set()
    try:
        walk = _Walk(directory)
    except FileNotFoundError:
        return
    try:
        while walk.levels:
            for state in walk.look():
                if state.st_nlink > 1 and not stat.S_ISDIR(state.st_mode):
                    identity = state.st_dev, state.st_ino
                    if identity in seen:
                        continue
                    seen.add(identity)
                yield state
            walk.go_on()
    finally:
        walk.close()


class _Walk:
    """Stands in the last of ``levels``: identity, descriptor (-1 when it was closed), and the directories in it that
    are still to be looked into.
    """

    def __init__(self, directory: str) -> None:
        self.levels: list[tuple[tuple[int, int], int, list[str]]] = []
        self._stand(os.open(directory, DIRECTORY_FLAGS))

    def _stand(self, fd: int) -> None:
        self.levels.append((_identity(fd), fd, []))

    def look(self) -> Iterator[os.stat_result]:
        """What is in the directory, one after the other: there may be millions."""
        _, fd, inner = self.levels[-1]
        with os.scandir(fd) as entries:
            for entry in entries:
                try:
                    state = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISDIR(state.st_mode):
                    inner.append(entry.name)
                yield state

    def go_on(self) -> None:
        """To the next directory, if there is one."""
        while self.levels:
            identity, fd, inner = self.levels[-1]
            while inner:
                try:
                    below = os.open(inner.pop(), DIRECTORY_FLAGS, dir_fd=fd)
                except OSError:  # gone, or no directory any more
                    continue
                if len(self.levels) >= _OPEN:
                    self.levels[-1] = identity, -1, inner
                    os.close(fd)
                self._stand(below)
                return
            self._leave()

    def _leave(self) -> None:
        """Back to the directory above; if that is another one now, that is the end."""
        _, here, _ = self.levels.pop()
        if self.levels and self.levels[-1][1] < 0:
            identity, _, inner = self.levels[-1]
            self.levels[-1] = identity, os.open("..", DIRECTORY_FLAGS, dir_fd=here), inner
            if _identity(self.levels[-1][1]) != identity:
                self.close()
        os.close(here)

    def close(self) -> None:
        """Stop, and close what is open."""
        for _, fd, _ in self.levels:
            if fd >= 0:
                os.close(fd)
        self.levels = []


def _identity(fd: int) -> tuple[int, int]:
    state = os.fstat(fd)
    return state.st_dev, state.st_ino

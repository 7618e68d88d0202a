"""Paths of a container, resolved as it would itself: links and ``..`` end at its root, whoever made them, and whatever
is renamed meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat

from utsuwa.engine.syscalls import IN_ROOT, openat2

_LINKS = 40


class Found:
    """What is at a path: its ``state``, None for nothing; ``path`` ends in no link that was to be followed."""

    __slots__ = ("path", "state")

    def __init__(self, path: bytes, state: os.stat_result | None) -> None:
        self.path, self.state = path, state

    @property
    def is_directory(self) -> bool:
        """It exists and is a directory."""
        return self.state is not None and stat.S_ISDIR(self.state.st_mode)


class Inside:
    """The tree beneath an open directory. Paths are bytes, absolute or not: they begin at the top.

    ``resolve``: RESOLVE_* of openat2(2); other trees than a container's may refuse all links.
    """

    def __init__(self, top: int, resolve: int = IN_ROOT) -> None:
        self._top, self._resolve = top, resolve

    def open(self, path: bytes, flags: int) -> int:
        """Open what is there (O_PATH touches no device). Raises OSError."""
        return openat2(self._top, path, flags, self._resolve)

    def look(self, path: bytes, follow: bool = True) -> Found:
        """What is at ``path``; a link at its end is followed if ``follow`` says so, also where it leads to nothing yet.

        Raises OSError for a path that can't be walked, but not for one whose end is missing.
        """
        for _ in range(_LINKS):
            path = path.rstrip(b"/") or b"/"
            try:
                fd = self.open(path, os.O_PATH | os.O_NOFOLLOW)
            except FileNotFoundError:
                return Found(path, None)
            try:
                state = os.fstat(fd)
                if not (follow and stat.S_ISLNK(state.st_mode)):
                    return Found(path, state)
                path = os.path.join(os.path.dirname(path), os.readlink(b"", dir_fd=fd))
            finally:
                os.close(fd)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fsdecode(path))

    def directory(self, path: bytes) -> int:
        """Open a directory to work in. Raises OSError."""
        return self.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def make(self, path: bytes) -> int:
        """As :meth:`directory`, made with the directories above it where they are missing: root's, 0755."""
        try:
            return self.directory(path)
        except FileNotFoundError:
            pass
        above, _, name = path.rstrip(b"/").rpartition(b"/")
        parent = self.make(above)
        try:
            os.mkdir(name, 0o755, dir_fd=parent)
        except FileExistsError:
            pass
        finally:
            os.close(parent)
        return self.directory(path)

    def place(self, path: bytes, is_directory: bool) -> int:
        """A descriptor of what can be mounted on at ``path``, made where it is missing."""
        if is_directory:
            return self.make(path)
        try:
            return self.open(path, os.O_PATH)
        except FileNotFoundError:
            pass
        above, _, name = path.rpartition(b"/")
        parent = self.make(above)
        try:
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=parent))
        finally:
            os.close(parent)
        return self.open(path, os.O_PATH)

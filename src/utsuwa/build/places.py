"""Paths in a tree that somebody hostile wrote: resolved here, name by name, links within the tree only.

A tree is a stack of directories seen as one (:class:`~utsuwa.snapshot.merged.Merged`): an image's layers, or the
context alone. The kernel never gets more than one name at a time.
"""

from __future__ import annotations

import os
import stat

from utsuwa.errors import InvalidArgument
from utsuwa.snapshot.merged import Merged
from utsuwa.snapshot.tree import is_whiteout, show

_LINKS = 40
"""As many symbolic links as the kernel follows in one path."""

Path = tuple[bytes, ...]


class Found:
    """What a path leads to: the path without links, and what is there, ``state`` None for nothing.

    ``directory`` holds it under the path's last name; both are empty for the tree's root. Close it.
    """

    def __init__(self, path: Path, holder: Merged, directory: int, state: os.stat_result | None) -> None:
        self.path, self.directory, self.state = path, directory, state
        self._holder = holder

    @property
    def name(self) -> bytes:
        """The last name of the path."""
        return self.path[-1] if self.path else b"."

    def is_directory(self) -> bool:
        """Whether it is there and a directory."""
        return self.state is not None and stat.S_ISDIR(self.state.st_mode)

    def enter(self) -> Merged:
        """The directory itself; without contents when it is none."""
        if not self.path:
            return Merged([os.dup(fd) for fd in self._holder.directories])
        return self._holder.enter(self.path[-1]) if self.is_directory() else Merged([])

    def close(self) -> None:
        """Close what was opened on the way."""
        self._holder.close()

    def __enter__(self) -> Found:
        return self

    def __exit__(self, *_failure: object) -> None:
        self.close()


def split(path: str | bytes) -> Path:
    """The names of a path, ``.`` and empty ones left out."""
    return tuple(part for part in os.fsencode(path).split(b"/") if part not in (b"", b"."))


def look(directory: Merged, name: bytes) -> tuple[int, os.stat_result] | None:
    """What a name is in a directory: who has it, and its attributes."""
    for fd in directory.directories:
        try:
            state = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            continue
        return None if is_whiteout(state) else (fd, state)
    return None


def find(root: Merged, path: Path, follow: bool = True) -> Found:
    """Where ``path`` leads in the tree; ``..`` stops at its root. With ``follow`` a link at the end counts as well.

    What does not exist is taken as written from there on. Raises InvalidArgument for a circle of links.
    """
    waiting, links = list(path), 0
    done: list[bytes] = []
    here = Merged([os.dup(fd) for fd in root.directories])
    try:
        while waiting:
            name = waiting.pop(0)
            if name == b"..":
                waiting, done = done[:-1] + waiting, []
                here = _back(here, root)
                continue
            known = look(here, name)
            if known is not None and stat.S_ISLNK(known[1].st_mode) and (waiting or follow):
                links += 1
                if links > _LINKS:
                    raise InvalidArgument(f"{show(b'/'.join(path))}: too many levels of symbolic links")
                target = os.readlink(name, dir_fd=known[0])
                before = [] if target.startswith(b"/") else done
                waiting, done = [*before, *split(target), *waiting], []
                here = _back(here, root)
                continue
            done.append(name)
            if not waiting:
                fd, state = known or (-1, None)
                return Found(tuple(done), here, fd, state)
            inner = here.enter(name) if known is not None else Merged([])
            here.close()
            here = inner
    except BaseException:
        here.close()
        raise
    top = here.directories[0] if here.directories else -1
    return Found((), here, top, os.fstat(top) if top >= 0 else None)


def _back(here: Merged, root: Merged) -> Merged:
    """Begin again at the root, where the part of the path that is done has no links."""
    here.close()
    return Merged([os.dup(fd) for fd in root.directories])


def read_file(root: Merged, path: str, limit: int) -> bytes:
    """The beginning of a regular file of the tree, b"" when there is none."""
    with find(root, split(path)) as found:
        if found.state is None or not stat.S_ISREG(found.state.st_mode):
            return b""
        fd = open_file(found.directory, found.name)
        try:
            return os.read(fd, limit)
        finally:
            os.close(fd)


def open_file(directory: int, name: bytes) -> int:
    """A descriptor of a regular file, for reading."""
    return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)

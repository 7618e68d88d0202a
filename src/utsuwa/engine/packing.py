"""A file or a tree as an archive, from a directory that somebody else may be changing."""

from __future__ import annotations

import os
import stat

from utsuwa.errors import InvalidArgument
from utsuwa.snapshot import tree
from utsuwa.snapshot.archive import END, Archiver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_DEEPEST = 256
"""Levels that are archived; readers of layers have the same limit."""


def pack(parent: int, name: bytes, top: bytes) -> Iterator[bytes]:
    """The archive, in chunks, of ``name`` in the open directory ``parent``, which is called ``top`` in it.

    No link is followed, sockets are left out, and what vanishes meanwhile is, too. Raises OSError, InvalidArgument.
    """
    archiver = Archiver()
    yield from _member(archiver, parent, name, top, 0)
    yield END


def _member(archiver: Archiver, parent: int, name: bytes, path: bytes, depth: int) -> Iterator[bytes]:
    try:
        state = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        if not depth:
            raise
        return
    yield from archiver.put(parent, name, path, state)
    if not stat.S_ISDIR(state.st_mode):
        return
    if depth > _DEEPEST:
        raise InvalidArgument(f"{tree.show(path)}: a path of more than {_DEEPEST} levels can't be archived")
    try:
        fd = os.open(name, tree.DIRECTORY_FLAGS, dir_fd=parent)
    except (FileNotFoundError, NotADirectoryError):  # replaced since it was looked at
        return
    try:
        for inner in sorted(map(os.fsencode, os.listdir(fd))):
            yield from _member(archiver, fd, inner, path + b"/" + inner, depth + 1)
    finally:
        os.close(fd)

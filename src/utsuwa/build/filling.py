"""An empty directory filled with members, by the code that applies layers."""

from __future__ import annotations

import os
from _thread import allocate_lock

from utsuwa.build import copying
from utsuwa.snapshot import tar, tree
from utsuwa.snapshot.apply import apply
from utsuwa.snapshot.merged import Merged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from utsuwa.build.members import Member


_UMASK = allocate_lock()
"""A process has one umask; stages that are built at once take turns."""


def fill(directory: str, wanted: Iterable[Member]) -> None:
    """Write members into a directory that has nothing yet, owners and times kept."""
    wish = copying.Wish(None, None, False, 0, None)
    with Merged([]) as nothing:
        take(directory, copying.archived(wanted, wish, copying.Ground(nothing)))


def take(directory: str, chunks: Iterator[bytes]) -> None:
    """Unpack an uncompressed archive, of whomever, into a directory that has nothing yet."""
    top = os.open(directory, tree.DIRECTORY_FLAGS)
    with _UMASK:
        before = os.umask(0)
        try:
            apply(tar.Stream(chunks), top)
        finally:
            os.umask(before)
            os.close(top)

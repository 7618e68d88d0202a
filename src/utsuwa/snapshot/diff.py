"""What a container has changed: its writable layer compared with the layers below, as a list or as a layer's archive.

A deletion is written as an explicit whiteout, before its siblings; opaque directories never are (image-spec, "Layer
Filesystem Changeset"). Places that the engine itself makes in a root file system, to mount something on, don't count.
"""

from __future__ import annotations

import os
import stat

from utsuwa.errors import InvalidArgument, from_oserror
from utsuwa.snapshot import tree
from utsuwa.snapshot.archive import END, Archiver, attributes
from utsuwa.snapshot.merged import Merged, is_opaque, listing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from utsuwa.snapshot.keyed import KeyedSnapshots

ADDED, CHANGED, DELETED = "A", "C", "D"
DEPTH_LIMIT = 256
"""Deepest path that is archived; readers have the same limit."""
_PLACES = frozenset(
    (b"dev", b"etc", b"proc", b"sys", b"etc/hosts", b"etc/hostname", b"etc/resolv.conf", b"dev/shm", b"dev/pts",
     b"dev/mqueue", b"dev/console", b"sbin", b"sbin/docker-init")
)  # fmt: skip
_WHITEOUT = b".wh."


class Change:
    """A path without a slash before it (the root is b""), and what became of it: ADDED, CHANGED or DELETED.

    ``name`` in the open ``directory`` is the thing itself, while the walk stands at it; ``state`` is None for what is
    deleted.
    """

    __slots__ = ("directory", "kind", "name", "path", "state")

    def __init__(self, path: bytes, kind: str, directory: int, name: bytes, state: os.stat_result | None) -> None:
        self.path, self.kind = path, kind
        self.directory, self.name, self.state = directory, name, state


def changes(snapshots: KeyedSnapshots, key: str) -> Iterator[Change]:
    """The changes of a snapshot: a directory before what is in it, deletions before their siblings, names sorted.

    Directories on the way to a change are CHANGED, as Docker has it. The snapshot may be in use: what vanishes while it
    is looked at is left out. Raises NotFound, InvalidArgument for a read-only snapshot and for one of too many levels.
    """
    upper = snapshots.upper(key)
    if not upper:
        raise InvalidArgument(f"snapshot {key} is read-only, it has no changes")
    layers = snapshots.layers
    stack = [layers.tree(name) for name in layers.stack(snapshots.parent(key))]
    top = -1
    try:
        top = os.open(upper, tree.DIRECTORY_FLAGS)
        with Merged.of(stack) as below:
            yield from _Walk(snapshots.complete).root(top, below)
    except OSError as error:
        raise from_oserror(error, f"compare snapshot {key}") from None
    finally:
        if top >= 0:
            os.close(top)


def archive(snapshots: KeyedSnapshots, key: str, newest: int | None = None) -> Iterator[bytes]:
    """The changes as the tar archive of a layer, in chunks; ``newest`` as in
    :class:`~utsuwa.snapshot.archive.Archiver`.
    """
    archiver = Archiver(newest)
    for change in changes(snapshots, key):
        if change.state is None:
            parent, slash, name = change.path.rpartition(b"/")
            yield archiver.mark(parent + slash + _WHITEOUT + name)
        else:
            yield from archiver.put(change.directory, change.name, change.path or b".", change.state)
    yield END


def export(snapshots: KeyedSnapshots, key: str) -> Iterator[bytes]:
    """The whole tree of a snapshot as a tar archive, in chunks: its layers merged, nothing of what is mounted on it."""
    layers = snapshots.layers
    below = [] if snapshots.complete else [layers.tree(name) for name in layers.stack(snapshots.parent(key))]
    upper = snapshots.upper(key)
    try:
        with Merged.of([upper, *below] if upper else below) as top:
            yield from _flatten(Archiver(), top, b"", 0)
    except OSError as error:
        raise from_oserror(error, f"export snapshot {key}") from None
    yield END


def _flatten(archiver: Archiver, directory: Merged, path: bytes, depth: int) -> Iterator[bytes]:
    _check_depth(path, depth)
    found = directory.entries()
    for name in sorted(found):
        state, fd = found[name]
        inner = path + name
        yield from archiver.put(fd, name, inner, state)
        if stat.S_ISDIR(state.st_mode):
            with directory.enter(name) as below:
                yield from _flatten(archiver, below, inner + b"/", depth + 1)


def _check_depth(path: bytes, depth: int) -> None:
    if depth > DEPTH_LIMIT:
        raise InvalidArgument(f"{tree.show(path)}: a path of more than {DEPTH_LIMIT} levels can't be archived")


class _Walk:
    """The tree above and the tree below, side by side.

    ``complete``: the upper tree holds everything (a copy), so what it lacks is deleted and what is like below is
    unchanged. Beneath an opaque directory of an overlay what it lacks is deleted, too.
    """

    def __init__(self, complete: bool) -> None:
        self._complete = complete
        self._waiting: list[Change] = []

    def root(self, top: int, below: Merged) -> Iterator[Change]:
        """All changes of the tree open at ``top``; the root itself is one when its owner, mode or attributes are."""
        state = os.fstat(top)
        change = Change(b"", CHANGED, top, b".", state)
        if below.directories and not _alike(state, os.fstat(below.directories[0]), top, b".", below.directories[0]):
            yield change
        yield from self._directory(top, below, b"", self._complete, 0)

    def _directory(self, top: int, below: Merged, path: bytes, whole: bool, depth: int) -> Iterator[Change]:
        _check_depth(path, depth)
        upper, lower = listing(top), below.entries()
        whole = whole or is_opaque(top)
        for name in sorted(lower):
            if tree.is_whiteout(upper[name]) if name in upper else whole:
                yield from self._told(Change(path + name, DELETED, top, name, None))
        for name in sorted(upper):
            state = upper[name]
            if tree.is_whiteout(state):
                continue
            known = lower.get(name)
            change = Change(path + name, CHANGED if known else ADDED, top, name, state)
            try:
                if stat.S_ISDIR(state.st_mode):
                    yield from self._inner(change, below, known, whole, depth)
                elif self._is_other(change, known):
                    yield from self._told(change)
            except FileNotFoundError:
                continue

    def _inner(
        self, change: Change, below: Merged, known: tuple[os.stat_result, int] | None, whole: bool, depth: int
    ) -> Iterator[Change]:
        fd = os.open(change.name, tree.DIRECTORY_FLAGS, dir_fd=change.directory)
        try:
            if self._is_new_directory(change, known, fd):
                yield from self._told(change)
            else:
                self._waiting.append(change)
            merges = known is not None and stat.S_ISDIR(known[0].st_mode)
            with below.enter(change.name) if merges else Merged([]) as inner:
                yield from self._directory(fd, inner, change.path + b"/", whole, depth + 1)
        finally:
            if self._waiting and self._waiting[-1] is change:
                self._waiting.pop()
            os.close(fd)

    def _told(self, change: Change) -> Iterator[Change]:
        """The directories that lead to a change, then the change."""
        waiting, self._waiting = self._waiting, []
        yield from waiting
        yield change

    def _is_new_directory(self, change: Change, known: tuple[os.stat_result, int] | None, fd: int) -> bool:
        """Whether a directory is a change by itself, whatever is in it."""
        state = change.state
        assert state is not None
        if known is None:
            return change.path not in _PLACES
        if not _alike(state, known[0], change.directory, change.name, known[1]):
            return True
        if state.st_mtime_ns == known[0].st_mtime_ns:
            return False
        return not any(change.path + b"/" + name in _PLACES for name in listing(fd))

    def _is_other(self, change: Change, known: tuple[os.stat_result, int] | None) -> bool:
        state = change.state
        assert state is not None
        if known is None:
            return not (change.path in _PLACES and stat.S_ISREG(state.st_mode) and not state.st_size)
        if not self._complete:  # overlayfs copies up what is about to be changed, and nothing else
            return True
        same = (state.st_size, state.st_mtime_ns, state.st_rdev) == (
            known[0].st_size,
            known[0].st_mtime_ns,
            known[0].st_rdev,
        )
        return not (same and _alike(state, known[0], change.directory, change.name, known[1]))


def _alike(state: os.stat_result, other: os.stat_result, directory: int, name: bytes, below: int) -> bool:
    """Whether kind, mode, owner and extended attributes are the same."""
    if (state.st_mode, state.st_uid, state.st_gid) != (other.st_mode, other.st_uid, other.st_gid):
        return False
    return attributes(directory, name) == attributes(below, name)

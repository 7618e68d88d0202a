"""The cache of builds: which layer came of which instruction on which parent, and the directories of cache mounts.

    ROOT/build/cache/KEY.json     a layer; its time is that of its last use
    ROOT/build/mounts/ID/data     see build.commands

A key holds all that a layer depends on, contents included, so an entry is never wrong, only not there. The image
store is told what is kept here, and collects the rest.
"""

from __future__ import annotations

import fcntl
import os
import time

from utsuwa.errors import InvalidArgument, from_oserror
from utsuwa.image.store import Kept
from utsuwa.snapshot import tree
from utsuwa.snapshot.measure import disk_usage
from utsuwa.spec import codec
from utsuwa.spec.image import Descriptor
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from utsuwa.image.make import NewLayer
    from utsuwa.image.store import ImageStore


class Entry(Record):
    """A layer as image.make.NewLayer has it, what made it, and when, in Unix seconds."""

    name: str
    parent: str
    diff_id: str
    blob: Descriptor
    size: int
    text: str = ""
    made: int = 0


class Found(Record):
    """Something in the cache, for people: ``kind`` is layer or mount, ``size`` in bytes, ``used`` Unix seconds."""

    id: str
    kind: str
    text: str
    size: int
    used: float
    busy: bool = False


class Cache:
    """The cache beneath an image store's root; safe to use from several processes at once."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._entries, self._mounts = f"{store.root}/build/cache", f"{store.root}/build/mounts"

    def get(self, key: str) -> tuple[NewLayer, int] | None:
        """The layer of a key, when all of it is there, and when it was made; it counts as used then."""
        path = f"{self._entries}/{key}.json"
        entry = _read(path)
        if entry is None or not self._store.snapshotter.layers.has(entry.name):
            return None
        if not self._store.content.has(entry.blob.digest):
            return None
        os.utime(path)
        from utsuwa.image.make import NewLayer

        layer = NewLayer(name=entry.name, parent=entry.parent, diff_id=entry.diff_id, blob=entry.blob, size=entry.size)
        return layer, entry.made

    def put(self, key: str, layer: NewLayer, text: str, made: int) -> None:
        """Keep a layer that was made at ``made``, Unix seconds. The caller holds the store's lease."""
        self._store.keep(f"build-{key}", Kept(blobs=(layer.blob.digest,), layers=(layer.name,)))
        entry = Entry(
            name=layer.name,
            parent=layer.parent,
            diff_id=layer.diff_id,
            blob=layer.blob,
            size=layer.size,
            text=text,
            made=made,
        )
        temporary = f"{self._entries}/.{key}.{os.getpid()}"
        try:
            os.makedirs(self._entries, 0o700, exist_ok=True)
            with open(temporary, "wb", buffering=0) as file:
                file.write(codec.dumps(entry).encode())
            os.rename(temporary, f"{self._entries}/{key}.json")
        except OSError as error:
            raise from_oserror(error, f"write {self._entries}/{key}.json") from error

    def entries(self) -> list[Found]:
        """All that is in it, what was used last first."""
        found = [*self._layers(), *self._directories()]
        return sorted(found, key=lambda each: -each.used)

    def _layers(self) -> Iterator[Found]:
        for name in _names(self._entries):
            path = f"{self._entries}/{name}"
            entry = _read(path)
            if entry is not None:
                yield Found(
                    id=name.removesuffix(".json"),
                    kind="layer",
                    text=entry.text,
                    size=entry.size,
                    used=os.stat(path).st_mtime,
                )

    def _directories(self) -> Iterator[Found]:
        for name in _names(self._mounts):
            path = f"{self._mounts}/{name}"
            lock = _take(path)
            if lock is not None:
                os.close(lock)
            used = os.stat(f"{path}/data").st_mtime if os.path.isdir(f"{path}/data") else 0.0
            yield Found(id=name, kind="mount", text="cache mount", size=disk_usage(path), used=used, busy=lock is None)

    def prune(self, everything: bool, older_than: float = 0.0) -> list[Found]:
        """Forget layers that no image has, or with ``everything`` all, and cache mounts that no build uses; what was
        used in the last ``older_than`` seconds stays. Returns what is gone, with the sizes that it had.
        """
        used = {name for image in self._store.list() for name in image.chain}
        gone = []
        for found in self.entries():
            if found.busy or found.used > time.time() - older_than:
                continue
            if found.kind == "mount":
                if self._remove_mount(found.id):
                    gone.append(found)
                continue
            entry = _read(f"{self._entries}/{found.id}.json")
            if entry is not None and (everything or entry.name not in used):
                os.unlink(f"{self._entries}/{found.id}.json")
                self._store.keep(f"build-{found.id}", None)
                gone.append(found.replace(size=0 if entry.name in used else found.size))
        self._store.collect()
        return gone

    def _remove_mount(self, name: str) -> bool:
        lock = _take(f"{self._mounts}/{name}")
        if lock is None:
            return False
        tree.remove(f"{self._mounts}/{name}")
        os.close(lock)
        return True


def _take(path: str) -> int | None:
    """A cache mount's lock, None while a build has it."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _read(path: str) -> Entry | None:
    try:
        with open(path, "rb", buffering=0) as file:
            entry: Entry = codec.decode(Entry, file.read())
    except (FileNotFoundError, InvalidArgument):
        return None
    return entry


def _names(directory: str) -> list[str]:
    try:
        return [name for name in os.listdir(directory) if name[0] != "."]
    except FileNotFoundError:
        return []

"""What all snapshotters share: snapshots as directories by key, each with a record of the layer it stands on."""

from __future__ import annotations

import os

from utsuwa.errors import Conflict, InvalidArgument, NotFound, from_oserror
from utsuwa.snapshot import tree
from utsuwa.snapshot.layers import LayerStore
from utsuwa.snapshot.measure import disk_usage
from utsuwa.spec import codec
from utsuwa.spec.record import Record

_KEY = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


class Snapshot(Record):
    """A snapshot: the chain ID it stands on ("" for nothing), and whether it can be written to."""

    parent: str
    readOnly: bool


class KeyedSnapshots:
    """Snapshots beneath ``<root>/keys``; a snapshotter adds how one is filled and mounted.

    ``complete``: the directory that takes what a container writes holds its image as well.
    """

    complete = False

    def __init__(self, root: str) -> None:
        self.root = root
        self.layers = LayerStore(root)

    def fill(self, directory: str, snapshot: Snapshot) -> None:
        """Make what the snapshot needs in its fresh directory; implemented by each snapshotter."""
        raise NotImplementedError

    def upper(self, key: str) -> str:
        """See :meth:`Snapshotter.upper`; implemented by each snapshotter."""
        raise NotImplementedError

    def prepare(self, key: str, parent: str, read_only: bool = False) -> None:
        """See :meth:`Snapshotter.prepare`."""
        directory = self.directory(key)
        snapshot = Snapshot(parent=parent, readOnly=read_only)
        guard = self.layers.guard()
        try:
            self.layers.stack(parent)
            os.makedirs(os.path.dirname(directory), 0o700, exist_ok=True)
            os.mkdir(directory, 0o700)
            try:
                # First, so that the layers stay for as long as any of this exists.
                with open(f"{directory}/snapshot.json", "w", encoding="utf-8") as record:
                    record.write(codec.dumps(snapshot))
                self.fill(directory, snapshot)
            except BaseException:
                tree.remove(directory)
                raise
        except FileExistsError:
            raise Conflict(f"snapshot {key} exists already, remove it first") from None
        except OSError as error:
            raise from_oserror(error, f"prepare snapshot {key}") from None
        finally:
            if guard is not None:
                os.close(guard)

    def parent(self, key: str) -> str:
        """See :meth:`Snapshotter.parent`."""
        return self.get(key).parent

    def get(self, key: str) -> Snapshot:
        """The record of a snapshot; raises NotFound."""
        try:
            with open(f"{self.directory(key)}/snapshot.json", "rb") as record:
                snapshot: Snapshot = codec.decode(Snapshot, record.read())
        except FileNotFoundError:
            raise NotFound(f"no snapshot {key}") from None
        return snapshot

    def keys(self) -> list[str]:
        """See :meth:`Snapshotter.keys`."""
        try:
            return sorted(os.listdir(f"{self.root}/keys"))
        except FileNotFoundError:
            return []

    def used_layers(self) -> set[str]:
        """The layers that snapshots stand on, directly."""
        used = set()
        for key in self.keys():
            try:
                used.add(self.get(key).parent)
            except (NotFound, InvalidArgument):
                continue  # being made or removed this moment, or cut off before it had a record: it holds no layer
        return used - {""}

    def usage(self, key: str) -> int:
        """See :meth:`Snapshotter.usage`."""
        self.get(key)
        return disk_usage(self.directory(key))

    def remove(self, key: str) -> None:
        """See :meth:`Snapshotter.remove`."""
        try:
            tree.remove(self.directory(key))
        except OSError as error:
            raise from_oserror(error, f"remove snapshot {key}") from None

    def directory(self, key: str) -> str:
        """The host directory of a snapshot. Raises InvalidArgument for what can't be a key."""
        if not key or key[0] == "." or len(key) > 200 or not _KEY.issuperset(key):
            raise InvalidArgument(f'invalid snapshot key "{key[:200]}", use letters, digits, _ . and -')
        return f"{self.root}/keys/{key}"

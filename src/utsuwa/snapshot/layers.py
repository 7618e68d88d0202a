"""Committed layers by chain ID, and layers in the making.

    <root>/layers/<hex>/tree          the layer as overlayfs wants it
    <root>/layers/<hex>/layer.json    its parent, its diff ID, its size
    <root>/unpacking/<hex>/           the same, under an flock(2) of whoever unpacks it

A layer appears under its name by one rename, after the file system was flushed: what is there is whole, power failures
included.
"""

from __future__ import annotations

import errno
import fcntl
import os

from utsuwa.errors import FailedPrecondition, NotFound, from_oserror
from utsuwa.snapshot import tree
from utsuwa.spec import codec
from utsuwa.spec import digest as digests
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from utsuwa.snapshot.apply import Outcome


class Layer(Record):
    """What is known of a committed layer: ``parent`` is a chain ID or "", ``size`` the bytes of its files."""

    parent: str
    diffId: str
    size: int


class LayerStore:
    """The layers beneath ``root``; safe to use from several processes at once."""

    def __init__(self, root: str) -> None:
        self.root = root

    def has(self, name: str) -> bool:
        """Whether the layer is committed."""
        return os.path.exists(self._path(name))

    def get(self, name: str) -> Layer:
        """What is known of a layer; raises NotFound."""
        try:
            with open(f"{self._path(name)}/layer.json", "rb") as record:
                layer: Layer = codec.decode(Layer, record.read())
        except FileNotFoundError:
            raise NotFound(f"no layer {name}, pull its image again") from None
        return layer

    def tree(self, name: str) -> str:
        """The directory of a committed layer."""
        return f"{self._path(name)}/tree"

    def stack(self, name: str) -> list[str]:
        """The layer and all those below it, top first; raises NotFound when one is missing."""
        names = []
        while name:
            names.append(name)
            name = self.get(name).parent
        return names

    def walk(self) -> Iterator[str]:
        """The chain IDs of all committed layers."""
        for algorithm, _ in digests.HEX_LENGTHS.items():
            try:
                yield from (f"{algorithm}:{entry}" for entry in os.listdir(f"{self.root}/layers/{algorithm}"))
            except FileNotFoundError:
                continue

    def begin(self, name: str, parent: str, diff_id: str) -> Staging | None:
        """Begin to make a layer; None while somebody else does, so ask :meth:`has` and then again."""
        checked = digests.parse(name)
        return self._begin(name, parent, diff_id, f"{self.root}/unpacking/{checked.algorithm}-{checked.hex}")

    def begin_unnamed(self, parent: str) -> Staging:
        """Begin to make a layer whose content is only now being made; it gets its name by :meth:`Staging.call`."""
        while True:
            staging = self._begin("", parent, "", f"{self.root}/unpacking/new-{os.urandom(8).hex()}")
            if staging:
                return staging

    def _begin(self, name: str, parent: str, diff_id: str, path: str) -> Staging | None:
        try:
            os.makedirs(path, 0o700, exist_ok=True)
            fd = _lock_directory(path)
            if fd is None:
                return None
            tree.remove("tree", fd)  # left by a killed process
            os.mkdir("tree", dir_fd=fd)
            os.chmod("tree", 0o755, dir_fd=fd)  # the container's root, unless the archive says otherwise
        except OSError as error:
            raise from_oserror(error, f"begin layer {name or path}") from None
        return Staging(name, parent, diff_id, path, fd)

    def settle(self, staging: Staging, lower: list[str]) -> None:
        """Take from the layers below, whose directories are ``lower`` (top first), what the archive left open."""
        outcome = staging.outcome
        if outcome is None:
            raise FailedPrecondition(f"layer {staging.name} is not unpacked")
        from utsuwa.snapshot.below import Below  # only who makes layers pays for the archive reader that comes with it

        top = os.open(f"{staging.path}/tree", tree.DIRECTORY_FLAGS)
        below = Below(top, lower)
        try:
            below.settle(outcome)
        except OSError as error:
            raise from_oserror(error, f"complete layer {staging.name}") from None
        finally:
            below.close()
            os.close(top)
        layer = Layer(parent=staging.parent, diffId=staging.diff_id, size=outcome.size)
        with open(f"{staging.path}/layer.json", "w", encoding="utf-8") as record:
            record.write(codec.dumps(layer))

    def commit(self, stagings: list[Staging], flush: Callable[[str], None]) -> None:
        """Settle layers (bottom first), flush the file system once, and give each its name."""
        if not stagings:
            return
        made = {staging.name: f"{staging.path}/tree" for staging in stagings}
        for staging in stagings:
            self.settle(staging, self._lower(staging, stagings, made))
        flush(self.root)
        for staging in stagings:
            target = self._path(staging.name)
            os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
            try:
                os.rename(staging.path, target)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise from_oserror(error, f"commit layer {staging.name}") from None
            else:
                staging.path = ""
            staging.close()

    def _lower(self, staging: Staging, stagings: list[Staging], made: dict[str, str]) -> list[str]:
        parents = {each.name: each.parent for each in stagings}
        directories, name = [], staging.parent
        while name in made:
            directories.append(made[name])
            name = parents[name]
        return directories + [self.tree(each) for each in self.stack(name)]

    def remove(self, name: str) -> int:
        """Remove a layer that no other stands on (the caller sees to that); returns its size in bytes, 0 when it was
        gone.
        """
        try:
            size = self.get(name).size
        except NotFound:
            return 0
        checked = digests.parse(name)
        doomed = f"{self.root}/unpacking/{checked.algorithm}-{checked.hex}.gone"
        os.makedirs(os.path.dirname(doomed), 0o700, exist_ok=True)
        tree.remove(doomed)
        try:
            os.rename(self._path(name), doomed)  # at once gone under its name, then at leisure from the disk
        except FileNotFoundError:
            return 0
        tree.remove(doomed)
        return size

    def sweep(self) -> None:
        """Remove what killed processes left half unpacked or half removed."""
        try:
            names = os.listdir(f"{self.root}/unpacking")
        except FileNotFoundError:
            return
        for name in names:
            path = f"{self.root}/unpacking/{name}"
            try:
                fd = _lock_directory(path)
            except FileNotFoundError:
                continue
            if fd is not None:
                tree.remove(path)
                os.close(fd)

    def guard(self, exclusive: bool = False) -> int | None:
        """A lock against :meth:`remove` by others, until the descriptor is closed; an exclusive one is refused with
        None.

        Who is about to make a snapshot or an image of committed layers shares it; who removes layers must have it
        alone.
        """
        os.makedirs(self.root, 0o700, exist_ok=True)
        fd = os.open(f"{self.root}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB if exclusive else fcntl.LOCK_SH)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd

    def _path(self, name: str) -> str:
        checked = digests.parse(name)
        return f"{self.root}/layers/{checked.algorithm}/{checked.hex}"


class Staging:
    """A layer in the making: unpack into ``<path>/tree``, set :attr:`outcome`, and hand it to
    :meth:`LayerStore.commit`.

    ``fd`` is the locked directory; a process that unpacks inherits it, and with it the lock.
    """

    def __init__(self, name: str, parent: str, diff_id: str, path: str, fd: int) -> None:
        self.name = name
        self.parent = parent
        self.diff_id = diff_id
        self.path = path
        self.fd = fd
        self.outcome: Outcome | None = None

    def call(self, diff_id: str) -> None:
        """Give the layer the name that its content determines."""
        from utsuwa.spec.image import chain_ids

        self.diff_id = diff_id
        self.name = str(chain_ids((self.parent, diff_id))[-1]) if self.parent else diff_id

    def close(self) -> None:
        """Give up the lock, and all that was unpacked unless it was committed."""
        if self.fd < 0:
            return
        if self.path:
            tree.remove(self.path)
        os.close(self.fd)
        self.fd = -1


def _lock_directory(path: str) -> int | None:
    """The directory open and locked, None when another process has it; it is made again when its owner took it away."""
    while True:
        fd = os.open(path, tree.DIRECTORY_FLAGS)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(path).st_ino == os.fstat(fd).st_ino:
                return fd
        except BlockingIOError:
            os.close(fd)
            return None
        except FileNotFoundError:
            os.makedirs(path, 0o700, exist_ok=True)
        os.close(fd)

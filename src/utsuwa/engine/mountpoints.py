"""What a container has mounted besides its root: volumes, host directories, images; made ready, and as mounts."""

from __future__ import annotations

import os

from utsuwa.engine import propagation
from utsuwa.errors import Conflict, InvalidArgument, NotFound, from_oserror
from utsuwa.spec.record import Record, decode
from utsuwa.spec.request import Volume
from utsuwa.spec.runtime import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.engine.images import Images
    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.volumes import VolumeRecord, Volumes
    from utsuwa.image.store import Image
    from utsuwa.spec.image import Settings
    from utsuwa.spec.request import RunRequest

SUBDIRECTORY = "X-mount.subdir"
"""The mount option, mount(8)'s, for a directory or file beneath a bind's source: it is looked up when it is mounted,
beneath the source, whatever links are on the way.
"""


class MountPoint(Record):
    """One mount as `inspect` shows it. ``mode`` is what stood behind the second colon of -v.

    ``shared`` is the propagation's word; ``subpath`` of a volume or image; ``recursive`` and ``beneath`` as in Volume.
    """

    type: str
    name: str = ""
    source: str
    destination: str
    driver: str = ""
    mode: str = ""
    rw: bool = True
    shared: str = ""
    subpath: str = ""
    recursive: bool = True
    beneath: str = ""
    options: dict[str, str] | None = None
    copy: bool = True


class Preparation:
    """The mount points of one container that is being made; until ``close`` no volume of them can be removed."""

    def __init__(self, owner: str, volumes: Volumes, images: Images, image: Image) -> None:
        self._owner, self._volumes, self._images, self._image = owner, volumes, images, image
        self._locks: list[int] = []
        self._overlays: dict[str, Mount] = {}
        self._snapshots: list[str] = []
        self.points: list[MountPoint] = []

    def close(self) -> None:
        """Let go of the volumes: the container's record protects them from here."""
        while self._locks:
            os.close(self._locks.pop())

    def prepare(
        self, request: RunRequest, settings: Settings, find: Callable[[str], ContainerRecord]
    ) -> tuple[Mount, ...]:
        """Make ready what was asked for, what other containers lend, and an anonymous volume for each that the image
        declares. ``find`` gives the container of a reference.
        """
        wanted: dict[str, Volume | MountPoint] = {_place(volume.target): volume for volume in request.volumes}
        taken = {_place(each.target) for each in request.tmpfs}
        for text in request.volumes_from:
            for point in _lent(text, find):
                if _place(point.destination) not in taken:
                    wanted.setdefault(_place(point.destination), point)
        for target in sorted(settings.Volumes or ()):
            if _place(target) not in taken:
                wanted.setdefault(_place(target), Volume(kind="volume", target=target))
        # In the order of names: who holds one volume while filling another never meets somebody who does the reverse.
        for each in sorted(wanted.values(), key=_name):
            self.points.append(self._borrow(each) if isinstance(each, MountPoint) else self._ready(each))
        self.points.sort(key=lambda point: _place(point.destination).count("/"))
        return tuple([self._mount(point) for point in self.points])

    def removable(self) -> tuple[str, ...]:
        """What goes with the container when it is removed with its volumes: directories of anonymous volumes, and of
        snapshots.
        """
        names = tuple([point.name for point in self.points if point.type == "volume"])
        return (*self._volumes.owned(self._owner, names), *self._snapshots)

    def _ready(self, volume: Volume) -> MountPoint:
        if volume.kind == "bind":
            return _bind(volume)
        return self._from_image(volume) if volume.kind == "image" else self._volume(volume)

    def _volume(self, volume: Volume) -> MountPoint:
        owner = "" if volume.source else self._owner
        record, lock = self._volumes.take(
            volume.source or "", owner=owner, driver=volume.driver, options=volume.options, labels=volume.labels
        )
        self._locks.append(lock)
        if volume.source:
            self._volumes.share(record.name, self._owner, named=True)
        if volume.copy:
            self._fill(record, lock, volume)
        self._refuse_second(record)
        return MountPoint(
            type="volume",
            name=record.name,
            source=self._volumes.data(record.name),
            destination=volume.target,
            driver=record.driver,
            mode=volume.relabel or ("z" if volume.source else ""),
            rw=not volume.read_only,
            subpath=volume.subpath,
            options=record.options,
            copy=volume.copy,
        )

    def _fill(self, record: VolumeRecord, lock: int, volume: Volume) -> None:
        """A volume that is empty gets what the image has at its place. One with options has its own content."""
        if record.options or volume.subpath:
            return

        def copy(data: str) -> None:
            from utsuwa.engine.copyup import copy_up

            copy_up(self._images.trees(self._image), volume.target, data)

        try:
            self._volumes.fill(record.name, lock, copy)
        except OSError as error:
            raise from_oserror(error, f"fill volume {record.name}") from error

    def _refuse_second(self, record: VolumeRecord) -> None:
        """Of a file system in memory every container would get its own, and nobody would notice."""
        from utsuwa.engine.localdriver import is_private

        if record.options and is_private(record.options):
            users = self._volumes.users().get(record.name)
            if users:
                raise Conflict(f"volume {record.name} is a tmpfs, which one container has at a time: {users[0]} has it")

    def _borrow(self, point: MountPoint) -> MountPoint:
        """Another container's mount point, with its volume held."""
        if point.type == "volume":
            found = self._volumes.hold(point.name)
            if found is None:
                raise NotFound(f"get {point.name}: no such volume")
            self._locks.append(found[1])
            self._refuse_second(found[0])
            self._volumes.share(point.name, self._owner, named=False)
        elif point.type == "image":
            asked = Volume(kind="image", source=point.name, target=point.destination, subpath=point.subpath)
            return self._from_image(asked)
        return point

    def _from_image(self, volume: Volume) -> MountPoint:
        """A snapshot that nobody writes to keeps the image's layers for as long as the container is there."""
        from utsuwa.snapshot.overlay import merged

        try:
            image = self._images.resolve(volume.source or "")
        except NotFound as error:  # in other words than for the container's own image, which callers then pull
            raise NotFound(f"image mount at {volume.target}: {error}") from error
        snapshotter = self._images.snapshotter
        key = f"{self._owner}.{len(self._overlays)}"
        snapshotter.prepare(key, image.top, read_only=True)
        self._snapshots.append(snapshotter.directory(key))
        (found,) = snapshotter.mounts(key)
        if volume.subpath:
            from utsuwa.engine.copyup import below

            trees = [found.source] if found.type == "bind" else self._images.trees(image)
            places = below(trees, volume.subpath)
            if not places:
                raise NotFound(f"image {volume.source} has no {volume.subpath}")
            found = merged(places)
        options = (*found.options, "ro", "rprivate")
        self._overlays[volume.target] = Mount(
            destination=volume.target, type=found.type, source=found.source, options=tuple(dict.fromkeys(options))
        )
        return MountPoint(
            type="image",
            name=volume.source or "",
            source=image.id,
            destination=volume.target,
            rw=False,
            subpath=volume.subpath,
        )

    def _mount(self, point: MountPoint) -> Mount:
        if point.type == "image":
            return self._overlays[point.destination]
        if point.options:
            from utsuwa.engine.localdriver import mount

            return _beneath(mount(point.options, point.destination, not point.rw, point.copy), point)
        options = ["rbind" if point.recursive else "bind", point.shared or "rprivate"]
        options += ["rw"] if point.rw else _read_only(point)
        mount_ = Mount(destination=point.destination, type="bind", source=point.source, options=tuple(options))
        return _beneath(mount_, point)


def _read_only(point: MountPoint) -> list[str]:
    """What is mounted beneath the source is read-only, too, unless the user wants it otherwise."""
    if not point.recursive or point.beneath == "writable":
        return ["ro"]
    return ["ro", "rro"]


def _beneath(mount: Mount, point: MountPoint) -> Mount:
    if not point.subpath:
        return mount
    if mount.type != "bind":
        raise InvalidArgument(f"volume {point.name} has no subpath: it is a file system of type {mount.type}")
    return mount.replace(options=(*(mount.options or ()), f"{SUBDIRECTORY}={point.subpath}"))


def _bind(volume: Volume) -> MountPoint:
    """The host path of a bind; for -v it is made as a directory when there is none, as Docker does it."""
    source = volume.source or ""
    if not os.path.lexists(source):
        if volume.must_exist:
            raise InvalidArgument(f'invalid mount config for type "bind": bind source path does not exist: {source}')
        try:
            os.makedirs(source, 0o755, exist_ok=True)
        except OSError as error:
            raise from_oserror(error, f"make the bind source {source}") from error
    elif not os.path.exists(source):
        raise NotFound(f"the bind source {source} is a broken symbolic link")
    if volume.propagation:
        propagation.check(source, volume.propagation)
    return MountPoint(
        type="bind",
        source=source,
        destination=volume.target,
        mode=volume.relabel or "",
        rw=not volume.read_only,
        shared=volume.propagation or "rprivate",
        recursive=volume.recursive,
        beneath=volume.beneath,
    )


def _lent(text: str, find: Callable[[str], ContainerRecord]) -> list[MountPoint]:
    """The mount points of ``CONTAINER[:ro|rw|z|Z]``."""
    name, _, mode = text.partition(":")
    words = [word for word in mode.split(",") if word]
    for word in words:
        if word not in ("ro", "rw", "z", "Z"):
            raise InvalidArgument(f"volumes-from {text!r}: invalid mode: {word}")
    if not name:
        raise InvalidArgument(f"volumes-from {text!r}: expected CONTAINER[:MODE]")
    points: list[MountPoint] = [decode(MountPoint, document) for document in find(name).mountPoints]
    if "ro" in words:
        points = [point.replace(rw=False) for point in points]
    return points


def _place(target: str) -> str:
    return target.rstrip("/")


def _name(each: Volume | MountPoint) -> str:
    if isinstance(each, MountPoint):
        return each.name if each.type == "volume" else ""
    return each.source or "" if each.kind == "volume" else ""


def volume_names(record: ContainerRecord) -> tuple[str, ...]:
    """The volumes that a container has."""
    return tuple([point["name"] for point in record.mountPoints if point["type"] == "volume"])  # type: ignore[index]


def describe(document: object) -> dict[str, object]:
    """A mount point as `inspect` shows it."""
    point: MountPoint = decode(MountPoint, document)
    about: dict[str, object] = {"Type": point.type}
    if point.type != "bind":
        about["Name"] = point.name
    about |= {"Source": point.source, "Destination": point.destination}
    if point.driver:
        about["Driver"] = point.driver
    return about | {"Mode": point.mode, "RW": point.rw, "Propagation": point.shared}


def asked(request: RunRequest) -> dict[str, object]:
    """The part of HostConfig that says what was asked for."""
    binds = [_short(volume) for volume in request.volumes if not volume.long and volume.source]
    mounts = [_long(volume) for volume in request.volumes if volume.long]
    mounts += [{"Type": "tmpfs", "Target": each.target} for each in request.tmpfs if each.long]
    tmpfs = {each.target: ",".join(each.options) for each in request.tmpfs if not each.long}
    shown: dict[str, object] = {"Binds": binds or None, "VolumesFrom": list(request.volumes_from) or None}
    return shown | ({"Mounts": mounts} if mounts else {}) | ({"Tmpfs": tmpfs} if tmpfs else {})


def _short(volume: Volume) -> str:
    words = ["ro"] if volume.read_only else []
    words += [word for word in (volume.relabel, volume.propagation) if word]
    words += [] if volume.copy else ["nocopy"]
    return ":".join([volume.source or "", volume.target, *([",".join(words)] if words else [])])


def _long(volume: Volume) -> dict[str, object]:
    shown: dict[str, object] = {"Type": volume.kind, "Source": volume.source or "", "Target": volume.target}
    if volume.read_only:
        shown["ReadOnly"] = True
    if volume.kind == "bind" and (volume.propagation or not volume.recursive):
        shown["BindOptions"] = {"Propagation": volume.propagation or "", "NonRecursive": not volume.recursive}
    if volume.kind == "volume" and (volume.subpath or volume.labels or not volume.copy):
        shown["VolumeOptions"] = {"NoCopy": not volume.copy, "Labels": volume.labels, "Subpath": volume.subpath}
    if volume.kind == "image" and volume.subpath:
        shown["ImageOptions"] = {"Subpath": volume.subpath}
    return shown


def snapshot_keys(identifier: str, keys: list[str]) -> list[str]:
    """The snapshots of image mounts among ``keys``."""
    return [key for key in keys if key.startswith(f"{identifier}.")]

"""An image from an OCI image layout, a directory or a tar of one (image-layout.md), without any registry."""

from __future__ import annotations

import os

from utsuwa.errors import Error, InvalidArgument, NotFound, Unavailable, Unsupported, from_oserror
from utsuwa.image.install import install, parts
from utsuwa.snapshot import compression, tar
from utsuwa.snapshot.extents import need_room
from utsuwa.snapshot.unpack import Unpacking
from utsuwa.spec import codec, digest, image, reference
from utsuwa.spec import platform as platforms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from utsuwa.image.install import Part
    from utsuwa.image.store import Image, ImageStore
    from utsuwa.snapshot.layers import Staging
    from utsuwa.spec.image import Descriptor
    from utsuwa.spec.platform import Platform

_MEMBER_LIMIT = 100_000
_CHUNK = 1 << 20
# Where tools write the image's name in index.json: containerd's has it whole, OCI's may be a tag alone.
_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


def load_layout(store: ImageStore, path: str, name: str | None = None, platform: Platform | None = None) -> Image:
    """Take the image of a layout at ``path`` into the store, under ``name`` or the one it brings along.

    With several images in the layout, the one that the layout calls ``name`` is meant, or else the best for
    ``platform`` (default: this host). Raises NotFound, InvalidArgument for what is no layout or contradicts itself,
    Unsupported for other archives.
    """
    try:
        layout = _Directory(path) if os.path.isdir(path) else _Archive(path, store.root)
    except OSError as error:
        raise from_oserror(error, path) from None
    lease = store.lease()
    try:
        store.sweep()
        return _load(store, layout, name, platform or platforms.host())
    except Error as error:
        raise error.within(f"load {path}") from None
    finally:
        os.close(lease)
        layout.close()


def _load(store: ImageStore, layout: _Layout, name: str | None, platform: Platform) -> Image:
    version = codec.parse(layout.read("oci-layout", 4096))
    if not isinstance(version, dict) or version.get("imageLayoutVersion") != "1.0.0":
        raise InvalidArgument("oci-layout: imageLayoutVersion must be 1.0.0")
    index = image.index(layout.read("index.json", image.MANIFEST_LIMIT))
    chosen = _choose(index.manifests, name, platform)
    names = [(reference.parse(text).tagged(), "") for text in (name or _own_name(chosen),) if text]
    nested: list[str] = []
    while chosen.mediaType in image.INDEXES:
        if len(nested) > 3:
            raise InvalidArgument("index.json: indexes within indexes within indexes")
        nested.append(_ingest(store, layout, chosen, image.MANIFEST_LIMIT))
        chosen = _choose(image.index(store.content.read(chosen.digest)).manifests, None, platform)
    _ingest(store, layout, chosen, image.MANIFEST_LIMIT)
    data = store.content.read(chosen.digest)
    if image.kind(chosen.mediaType, data) != "manifest":
        raise InvalidArgument(f"{chosen.digest} is not a manifest")
    content = image.manifest(data)
    _ingest(store, layout, content.config, image.CONFIG_LIMIT)
    config = image.config(store.content.read(content.config.digest), len(content.layers))
    stagings = _unpack(store, layout, parts(content, config))
    try:
        return install(store, chosen, content, config, stagings, names, nested)
    finally:
        for staging in stagings:
            staging.close()


def _choose(offers: tuple[Descriptor, ...], name: str | None, platform: Platform) -> Descriptor:
    if name:
        called = [offer for offer in offers if _same_name(_own_name(offer), name)]
        offers = tuple(called) or offers
    place = platforms.choose(platform, [offer.platform for offer in offers])
    if place is None:
        raise NotFound(f"no image for {platform} among {len(offers)}")
    return offers[place]


def _same_name(own: str, name: str) -> bool:
    return bool(own) and reference.parse(own).tagged() == reference.parse(name).tagged()


def _own_name(descriptor: Descriptor) -> str:
    """The name that a layout gives an image, "" when it gives none that is a name."""
    for key in _NAMES:
        text = (descriptor.annotations or {}).get(key, "")
        try:
            named = reference.parse(text)
        except InvalidArgument:
            continue
        # "latest" or "1.0" alone is a tag of nobody knows what.
        if "/" in text or named.tag or key == _NAMES[0]:
            return text
    return ""


def _unpack(store: ImageStore, layout: _Layout, wanted: list[Part]) -> list[Staging]:
    """Take in and unpack the layers that are not there yet, as many at once as there are processors."""
    layers = store.snapshotter.layers
    stagings: list[Staging] = []
    running: list[Unpacking] = []
    try:
        for part in wanted:
            _ingest(store, layout, part.blob, None)
            if layers.has(part.name) or part.name in [staging.name for staging in stagings]:
                continue
            staging = layers.begin(part.name, part.parent, part.diff_id)
            if staging is None:
                raise Unavailable(f"layer {part.name} is just being unpacked by another process, try again")
            stagings.append(staging)
            if len(running) >= (os.cpu_count() or 1):
                _finish(running.pop(0))
            running.append(_start(store, staging, part))
        while running:
            _finish(running.pop(0))
    except BaseException:
        for each in running:
            each.close()
        for staging in stagings:
            staging.close()
        raise
    return stagings


def _start(store: ImageStore, staging: Staging, part: Part) -> Unpacking:
    blob = store.content.open(part.blob.digest)
    try:
        unpacking = Unpacking(staging, blob)
    finally:
        os.close(blob)
    unpacking.announce(part.blob.size)
    unpacking.complete()
    return unpacking


def _finish(unpacking: Unpacking) -> None:
    try:
        unpacking.wait()
    finally:
        unpacking.close()


def _ingest(store: ImageStore, layout: _Layout, descriptor: Descriptor, limit: int | None) -> str:
    """Copy a blob into the content store, verified; returns its digest."""
    if limit is not None and descriptor.size > limit:
        raise InvalidArgument(f"{descriptor.digest}: {descriptor.size} bytes are over the limit of {limit}")
    if store.content.has(descriptor.digest):
        return descriptor.digest
    taken = store.content.ingest(descriptor.digest, descriptor.size)
    if taken is None:
        raise Unavailable(f"blob {descriptor.digest} is just being written by another process, try again")
    checked = digest.parse(descriptor.digest)
    with taken:
        for chunk in layout.chunks(f"blobs/{checked.algorithm}/{checked.hex}"):
            taken.write(chunk)
        taken.commit()
    return descriptor.digest


class _Layout:
    """The files of a layout by their relative names."""

    def open(self, name: str) -> tuple[int, int, int]:
        """A descriptor, where the file begins in it, and its size; raises NotFound."""
        raise NotImplementedError

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of a file."""
        fd, offset, size = self.open(name)
        while size > 0 and (chunk := os.pread(fd, min(_CHUNK, size), offset)):
            offset += len(chunk)
            size -= len(chunk)
            yield chunk

    def read(self, name: str, limit: int) -> bytes:
        """A small file whole."""
        if self.open(name)[2] > limit:
            raise InvalidArgument(f"{name} is over the limit of {limit} bytes")
        return b"".join(self.chunks(name))

    def close(self) -> None:
        """Close what is open."""


class _Directory(_Layout):
    """A layout as a directory of the user's."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def open(self, name: str) -> tuple[int, int, int]:
        self.close()
        try:
            self._fd = os.open(f"{self._path}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise from_oserror(error, name) from None
        return self._fd, 0, os.fstat(self._fd).st_size

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class _Archive(_Layout):
    """A layout in a tar file, compressed or not: a table of its members, in one pass."""

    def __init__(self, path: str, scratch: str) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._members: dict[str, tuple[int, int]] = {}
        try:
            self._uncompress(scratch)
            stream = tar.Stream(iter(lambda: os.read(self._fd, _CHUNK), b""))
            for entry in tar.entries(stream):
                if entry.type == tar.REGULAR and entry.sparse is None:
                    name = entry.name.decode("utf-8", "replace").removeprefix("./")
                    self._members[name] = (stream.taken, entry.size)
                if len(self._members) > _MEMBER_LIMIT:
                    raise InvalidArgument(f"{path}: more than {_MEMBER_LIMIT} members")
                stream.skip(entry.size)
        except Error as error:
            self.close()
            raise error.within(path) from None
        except BaseException:
            self.close()
            raise

    def _uncompress(self, scratch: str) -> None:
        """Members are read at their offsets, so a compressed archive is unpacked to a file without a name first."""
        if os.pread(self._fd, 263, 0)[257:262] == b"ustar":
            return
        os.makedirs(scratch, 0o700, exist_ok=True)
        plain = os.open(scratch, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        source, self._fd = self._fd, plain
        try:
            for piece in compression.decompressed(lambda count: os.read(source, count)):
                need_room(plain, len(piece))  # a bomb fills the disk to here, and is gone with its file
                view = memoryview(piece)
                while view:
                    view = view[os.write(plain, view) :]
        finally:
            os.close(source)
        os.lseek(plain, 0, os.SEEK_SET)

    def open(self, name: str) -> tuple[int, int, int]:
        found = self._members.get(name)
        if found is None and name == "oci-layout" and "manifest.json" in self._members:
            raise Unsupported("an archive of docker save's old format is not supported, make an OCI layout of it")
        if found is None:
            raise NotFound(f"{name} is not in the archive, is it an OCI layout?")
        return self._fd, *found

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

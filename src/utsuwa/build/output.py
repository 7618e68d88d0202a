"""``--output``: what becomes of a build besides an image here, or instead of it.

local   the tree of the last stage in a directory     tar     the same as an archive
oci     the image as an OCI layout, in an archive      docker  the same, or with no dest: the image here
image   the image here, under the names of ``name``    registry  the same, and pushed
"""

from __future__ import annotations

import os

from utsuwa.build.filling import take
from utsuwa.errors import InvalidArgument, Unsupported, from_oserror
from utsuwa.snapshot import diff
from utsuwa.snapshot.archive import blocks
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from utsuwa.build.kitchen import Kitchen
    from utsuwa.build.progress import Progress
    from utsuwa.build.state import State
    from utsuwa.image.store import Image, ImageStore
    from utsuwa.spec.reference import Reference

_KEYS = {
    "local": {"dest"},
    "tar": {"dest"},
    "oci": {"dest", "name", "tar"},
    "docker": {"dest", "name", "tar"},
    "image": {"name", "push"},
    "registry": {"name"},
}
_STREAMS = ("tar", "oci", "docker")


class Output(Record):
    """One ``--output``. ``place``: a path, "-" for standard output, "" for the store. ``names``: of the image, besides
    its tags.
    """

    kind: str
    place: str = ""
    names: tuple[str, ...] = ()
    push: bool = False

    @property
    def is_tree(self) -> bool:
        """It wants files, and no image."""
        return self.kind in ("local", "tar")

    @property
    def is_stored(self) -> bool:
        """It wants the image here."""
        return self.kind == "image" or (self.kind == "docker" and not self.place)


def parse(text: str) -> Output:
    """``DIRECTORY``, ``-``, or ``type=…,dest=…``. Raises InvalidArgument and Unsupported."""
    if "=" not in text:
        return Output(kind="tar" if text == "-" else "local", place=text)
    fields = _fields(text)
    kind = fields.pop("type", "")
    if kind not in _KEYS:
        raise InvalidArgument(f'output "{text}": type is required (local, tar, oci, docker, image, registry)')
    for key, value in fields.items():
        if key not in _KEYS[kind]:
            raise Unsupported(f"unsupported: {key} in --output {text}")
        if key in ("push", "tar") and value not in ("true", "false"):
            raise InvalidArgument(f'output "{text}": {key} is true or false')
    if fields.get("tar") == "false":
        raise Unsupported(f"unsupported: tar=false in --output {text} (unpack the archive)")
    place = fields.get("dest", "")
    if kind == "oci" and not place:
        raise InvalidArgument(f'output "{text}": dest is required for {kind}')
    if kind == "tar" and not place:
        place = "-"
    if kind == "local" and place in ("", "-"):
        raise InvalidArgument(f'output "{text}": dest is required for local, a directory')
    names = tuple(name for name in fields.get("name", "").split(",") if name)
    push = kind == "registry" or fields.get("push") == "true"
    return Output(kind="image" if kind == "registry" else kind, place=place, names=names, push=push)


def _fields(text: str) -> dict[str, str]:
    """``key=value`` between commas; one in quotation marks may hold commas (RFC 4180)."""
    from csv import Error, reader

    try:
        (parts,) = reader([text], strict=True)
    except (Error, ValueError):
        raise InvalidArgument(f'invalid output "{text}"') from None
    found = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals:
            raise InvalidArgument(f'output "{text}": invalid field {part}, must be a key=value pair')
        found[key.strip().lower()] = value
    return found


def write_tree(output: Output, kitchen: Kitchen, state: State) -> None:
    """Write the last stage's tree. What is in a directory already stays, unless a file of the tree has its name.

    Of a build for several platforms each has a directory of its own, ``linux_arm64``.
    """
    place = output.place
    if kitchen.request.platforms:
        if output.kind != "local":
            raise Unsupported("unsupported: an archive of trees for several platforms (use a directory)")
        place = f"{place}/{str(kitchen.request.platform).replace('/', '_')}"
    step = kitchen.progress.begin("exporting to client")
    snapshots, key = kitchen.store.snapshotter, kitchen.workshop.name_next()
    snapshots.prepare(key, state.top, read_only=True)
    try:
        chunks = diff.export(snapshots, key)
        if output.kind == "local":
            _fill(place, chunks)
        else:
            write_stream(place, blocks(chunks))
    except OSError as error:
        raise from_oserror(error, f"write {output.place}") from error
    finally:
        snapshots.remove(key)
    step.done()


def deliver(
    store: ImageStore, made: Sequence[Image], names: Sequence[Reference], outputs: Iterable[Output], progress: Progress
) -> None:
    """Write an image, or that of several platforms, into the archives that are wanted. The caller holds a lease."""
    for each in outputs:
        if each.is_tree or not each.place:
            continue
        from utsuwa.image.save import save_as

        if each.kind == "docker" and len(made) > 1:
            raise Unsupported("unsupported: an archive for Docker of an image for several platforms (use type=oci)")
        step = progress.begin(f"exporting to {each.kind} image format")
        try:
            write_stream(each.place, save_as(store, made, names))
        except OSError as error:
            raise from_oserror(error, f"write {each.place}") from error
        step.done()


def _fill(directory: str, chunks: Iterator[bytes]) -> None:
    """The directory is the user's; no link in it is followed."""
    os.makedirs(directory, 0o755, exist_ok=True)
    if not os.listdir(directory):
        take(directory, chunks)
        return
    from utsuwa.engine.inside import Inside
    from utsuwa.engine.syscalls import BENEATH, NO_SYMLINKS
    from utsuwa.engine.unpacking import Unpacker

    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        Unpacker(Inside(fd, BENEATH | NO_SYMLINKS), b"", rights=True).run(chunks)
    finally:
        os.close(fd)


def write_stream(place: str, chunks: Iterable[bytes]) -> None:
    """Into a file, or for "-" to standard output."""
    if place == "-":
        for chunk in chunks:
            _write_all(1, chunk)
        return
    with open(place, "wb") as file:
        file.writelines(chunks)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]

"""The last steps of every way an image comes in: its layers, once unpacked, and its blobs become an image record."""

from __future__ import annotations

from datetime import UTC

from utsuwa.content.durable import flush_file_system
from utsuwa.errors import InvalidArgument
from utsuwa.image.store import Image, ImageRecord, ImageStore
from utsuwa.spec import image
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from utsuwa.snapshot.layers import Staging
    from utsuwa.spec.image import Descriptor, ImageConfig, Manifest
    from utsuwa.spec.reference import Reference


class Part(Record):
    """A layer of an image: where it is in the registry, and what it is in the layer store."""

    blob: image.Descriptor
    name: str
    parent: str
    diff_id: str


def parts(manifest: Manifest, config: ImageConfig) -> list[Part]:
    """The layers of an image, base first."""
    diff_ids = config.rootfs.diff_ids
    if len(diff_ids) != len(manifest.layers):
        raise InvalidArgument(f"rootfs.diff_ids: {len(diff_ids)} entries for {len(manifest.layers)} layers")
    chain = image.chain_ids(diff_ids)
    below = ("", *chain)
    return [
        Part(blob=blob, name=str(chain[place]), parent=str(below[place]), diff_id=diff_ids[place])
        for place, blob in enumerate(manifest.layers)
    ]


def install(
    store: ImageStore,
    manifest: Descriptor,
    content: Manifest,
    config: ImageConfig,
    stagings: list[Staging],
    names: Iterable[tuple[Reference, str]],
    indexes: Iterable[str] = (),
    parent: str = "",
) -> Image:
    """Commit what was unpacked (base first), make everything durable with one flush, and store the record.

    ``parent`` is the ID of the image that this one was made from here.
    """
    layers = store.snapshotter.layers
    layers.commit(stagings, flush_file_system)
    chain = [part.name for part in parts(content, config)]
    wanted = [*indexes, manifest.digest, content.config.digest, *(layer.digest for layer in content.layers)]
    blobs = [str(blob) for blob in dict.fromkeys(wanted) if store.content.has(blob)]
    store.content.settle(blobs, flushed=bool(stagings))
    record = ImageRecord(
        id=str(content.config.digest),
        manifest=str(manifest.digest),
        blobs=tuple(blobs),
        chain=tuple(chain),
        size=sum(layers.get(name).size for name in chain),
        created=timestamp(config.created or ""),
        parent=parent,
    )
    return store.put(record, names)


def timestamp(text: str) -> int:
    """Unix seconds of an RFC 3339 time; 0 for what is none, as images say that do not want to tell."""
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(text[:19])
        offset = (
            datetime.fromisoformat(f"2000-01-01T00:00:00{text[-6:]}").utcoffset() if text[-6:-5] in ("+", "-") else None
        )
    except ValueError:
        return 0
    seconds = int(moment.replace(tzinfo=UTC).timestamp())
    return seconds - int(offset.total_seconds()) if offset else seconds

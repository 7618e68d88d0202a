"""What ``docker save`` wrote until Docker 25, and skopeo and podman still write: ``manifest.json`` with configurations
and uncompressed layers (moby, image/spec/v1.2.md, "Combined Image JSON + Filesystem Changeset Format").
"""

from __future__ import annotations

from utsuwa.errors import InvalidArgument, NotFound
from utsuwa.image.make import NewLayer, add_layer, install_made
from utsuwa.image.names import brought_names
from utsuwa.snapshot.compression import decompressed
from utsuwa.spec import codec, image
from utsuwa.spec.image import Descriptor, chain_ids
from utsuwa.spec.record import Record, decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from utsuwa.image.layout import Layout
    from utsuwa.image.load import Loaded
    from utsuwa.image.store import ImageStore


class Saved(Record):
    """One image: names of files in the archive, names of the image."""

    Config: str
    RepoTags: tuple[str, ...] | None = None
    Layers: tuple[str, ...] | None = None


def load_docker(store: ImageStore, layout: Layout) -> list[Loaded]:
    """Every image of the archive; the caller holds a lease."""
    documents = codec.parse(layout.read("manifest.json", image.MANIFEST_LIMIT))
    if not isinstance(documents, list):
        raise InvalidArgument("manifest.json: expected a list")
    if not documents:
        raise NotFound("no image in the archive")
    return [_load_one(store, layout, decode(Saved, document)) for document in documents]


def _load_one(store: ImageStore, layout: Layout, saved: Saved) -> Loaded:
    names = brought_names(saved.RepoTags or ())
    files = saved.Layers or ()
    data = layout.read(saved.Config, image.CONFIG_LIMIT)
    config = image.config(data, len(files))
    chain = ("", *chain_ids(config.rootfs.diff_ids))
    layers = []
    for place, file in enumerate(files):
        diff_id, name = config.rootfs.diff_ids[place], chain[place + 1]
        layer = known_layer(store, name, diff_id)
        if layer is None:
            layer = add_layer(store, chain[place], decompressed(_reader(layout, file)))
            if layer.diff_id != diff_id:
                raise InvalidArgument(f"invalid diffID for layer {place}: expected {diff_id!r}, got {layer.diff_id!r}")
        layers.append(layer)
    return install_made(store, data, config, layers, names), names


def known_layer(store: ImageStore, name: str, diff_id: str) -> NewLayer | None:
    """A layer that an image here has already, with its compressed archive; None when there is none."""
    for record in store.records():
        if name not in record.chain or not store.content.has(record.manifest):
            continue
        place = record.chain.index(name)
        blob: Descriptor = image.manifest(store.content.read(record.manifest)).layers[place]
        if store.content.has(blob.digest) and store.snapshotter.layers.has(name):
            known = store.snapshotter.layers.get(name)
            return NewLayer(name=name, parent=known.parent, diff_id=diff_id, blob=blob, size=known.size)
    return None


def _reader(layout: Layout, name: str) -> Callable[[int], bytes]:
    chunks: Iterator[bytes] = layout.chunks(name)
    return lambda _count: next(chunks, b"")

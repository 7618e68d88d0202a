"""New images made here: a layer's archive taken in once (hashed, compressed and unpacked on its way), a configuration
around it.

    lease = store.lease()                                                   # a descriptor; close it when done
    layer = add_layer(store, parent.top, diff.archive(snapshots, key))  # as often as there are layers
    image = assemble(store, base, [layer], config, [History(…)], names)
"""

from __future__ import annotations

import os
import time

from utsuwa.content.durable import flush_file_system
from utsuwa.errors import InvalidArgument, Unsupported
from utsuwa.image.install import install
from utsuwa.spec import codec, image
from utsuwa.spec import digest as digests
from utsuwa.spec.digest import hasher
from utsuwa.spec.image import Descriptor, History, ImageConfig, Manifest, RootFS
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from utsuwa.image.store import Image, ImageStore
    from utsuwa.snapshot.layers import Staging
    from utsuwa.spec.reference import Reference


_WAIT = 0.05
"""Seconds between looks for a layer that another process unpacks."""


class NewLayer(Record):
    """A layer that was made here: ``name`` is its chain ID, ``blob`` the compressed archive in the content store,
    ``size`` the bytes of its files.
    """

    name: str
    parent: str
    diff_id: str
    blob: image.Descriptor
    size: int


def add_layer(store: ImageStore, parent: str, chunks: Iterable[bytes]) -> NewLayer:
    """Make a layer on top of the layer ``parent`` ("" for the first) of an uncompressed tar archive, and commit it.

    One pass does everything. The caller holds a lease until an image, or a record of what is kept, names the layer.
    Raises InvalidArgument for what is no archive of a layer, Unavailable when the disk is full.
    """
    from utsuwa.snapshot.archive import blocks
    from utsuwa.snapshot.compression import Packer
    from utsuwa.snapshot.intake import Intake  # threads; images that are put together of what is here need none

    layers = store.snapshotter.layers
    staging = layers.begin_unnamed(parent)
    running, packer = hasher(), Packer()
    try:
        with store.content.create() as blob, Intake(staging) as intake:
            for chunk in blocks(chunks):
                running.update(chunk)
                intake.write(chunk)
                blob.write(packer.pack(chunk))
            blob.write(packer.finish())
            staging.outcome = outcome = intake.finish()
            digest, size = blob.commit(), blob.size
        staging.call(f"sha256:{running.hexdigest()}")
        made = NewLayer(
            name=staging.name,
            parent=parent,
            diff_id=staging.diff_id,
            blob=Descriptor(mediaType=f"{image.OCI_LAYER}+gzip", digest=str(digest), size=size),
            size=outcome.size,
        )
        layers.commit([staging], flush_file_system)
    finally:
        staging.close()
    store.content.settle([made.blob.digest], flushed=True)
    return made


def stack_layer(store: ImageStore, parent: str, blob: Descriptor, diff_id: str) -> NewLayer:
    """Put a layer whose archive is in the content store on top of ``parent``, unless it is there already.

    Raises InvalidArgument for an archive that is not what ``diff_id`` says. The caller holds a lease.
    """
    layers = store.snapshotter.layers
    name = str(digests.of(f"{parent} {diff_id}".encode())) if parent else diff_id
    while not layers.has(name):
        staging = layers.begin(name, parent, diff_id)
        if staging is None:  # somebody else is at it
            time.sleep(_WAIT)
            continue
        try:
            _unpack(store, staging, blob)
            layers.commit([staging], flush_file_system)
        finally:
            staging.close()
    return NewLayer(name=name, parent=parent, diff_id=diff_id, blob=blob, size=layers.get(name).size)


def _unpack(store: ImageStore, staging: Staging, blob: Descriptor) -> None:
    from utsuwa.snapshot.unpack import Unpacking

    fd = store.content.open(blob.digest)
    try:
        unpacking = Unpacking(staging, fd)
    finally:
        os.close(fd)
    try:
        unpacking.announce(blob.size)
        unpacking.complete()
        unpacking.wait()
    finally:
        unpacking.close()


def assemble(
    store: ImageStore,
    base: Image | None,
    layers: Sequence[NewLayer],
    config: ImageConfig,
    history: Sequence[History] = (),
    names: Iterable[Reference] = (),
    parent: str = "",
    annotations: dict[str, str] | None = None,
) -> Image:
    """Store the image of ``base`` with more layers on top, and give it names.

    ``config`` says everything but layers and history: these are the base's, and then ``layers`` and ``history``.
    ``parent`` is for images that are made of one another here (commit); a base that was only built upon is none.
    ``annotations`` are the manifest's.
    """
    below = base.manifest.layers if base else ()
    old = base.config if base else None
    if base and layers and layers[0].parent != base.top:
        raise InvalidArgument(f"layer {layers[0].name} does not stand on image {base.id}")
    config = config.replace(
        rootfs=RootFS(
            type="layers", diff_ids=(*(old.rootfs.diff_ids if old else ()), *(layer.diff_id for layer in layers))
        ),
        history=(*((old.history or ()) if old else ()), *history),
    )
    blobs = (*below, *(layer.blob for layer in layers))
    return _install(store, codec.dumps(config).encode(), config, blobs, names, parent, annotations)


def install_made(
    store: ImageStore, document: bytes, config: ImageConfig, layers: Sequence[NewLayer], names: Iterable[Reference]
) -> Image:
    """Store an image of layers that are here, whose configuration was written by somebody else: ``document``, of which
    ``config`` is what we understand.
    """
    return _install(store, document, config, [layer.blob for layer in layers], names, "")


def _install(
    store: ImageStore,
    document: bytes,
    config: ImageConfig,
    layers: Iterable[Descriptor],
    names: Iterable[Reference],
    parent: str,
    annotations: dict[str, str] | None = None,
) -> Image:
    if len(config.rootfs.diff_ids) > image.LAYER_COUNT_LIMIT:
        raise Unsupported(
            f"max depth exceeded: an image of {len(config.rootfs.diff_ids)} layers, "
            f"the limit is {image.LAYER_COUNT_LIMIT}"
        )
    content = Manifest(
        schemaVersion=2,
        mediaType=image.OCI_MANIFEST,
        config=_stored(store, image.OCI_CONFIG, document),
        layers=tuple(map(_as_oci, layers)),
        annotations=annotations or None,
    )
    described = _stored(store, image.OCI_MANIFEST, codec.dumps(content).encode())
    return install(store, described, content, config, [], [(name, "") for name in names], parent=parent)


def derive(
    store: ImageStore,
    parent: Image | None,
    archive: Iterable[bytes] | None,
    config: ImageConfig,
    entry: History,
    names: Iterable[Reference] = (),
) -> Image:
    """One step from an image to the next: with a layer (an uncompressed tar archive) or, for None, without one."""
    lease = store.lease()
    try:
        top = parent.top if parent else ""
        layers = [] if archive is None else [add_layer(store, top, archive)]
        entry = entry if layers else entry.replace(empty_layer=True)
        return assemble(store, parent, layers, config, [entry], names, parent=parent.id if parent else "")
    finally:
        os.close(lease)


def _stored(store: ImageStore, media_type: str, data: bytes) -> Descriptor:
    return Descriptor(mediaType=media_type, digest=str(store.content.add(data)), size=len(data))


def _as_oci(layer: Descriptor) -> Descriptor:
    """A layer's descriptor with OCI's media type: an OCI manifest must not have Docker's."""
    base, dot, packing = layer.mediaType.partition(".tar")
    if not base.startswith("application/vnd.docker."):
        return layer
    kind = "application/vnd.oci.image.layer.nondistributable.v1" if ".foreign." in base else image.OCI_LAYER[:-4]
    return layer.replace(mediaType=kind + dot + packing.replace(".", "+"))

"""Push: an image from the store to a registry, what is there already left out.

Blobs go side by side; one that another repository of the registry is known to have is taken over from there. The
manifest goes last, as it is in the store, so the image has the same digest everywhere.
"""

from __future__ import annotations

import asyncio
import os

from utsuwa.errors import NotFound
from utsuwa.image.family import index_of, members
from utsuwa.registry.client import RegistryClient
from utsuwa.registry.configuration import Registries
from utsuwa.registry.push import Uploads
from utsuwa.spec import image, reference
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from utsuwa.image.store import Image, ImageStore
    from utsuwa.registry.client import Patience
    from utsuwa.registry.credentials import Credentials
    from utsuwa.spec.image import Descriptor, Manifest
    from utsuwa.spec.platform import Platform
    from utsuwa.spec.reference import Reference

UPLOADS = 5
"""Blobs sent at once, as Docker does."""
_MOUNTS = 3
"""Repositories asked for a blob before it is sent."""


class Event(Record):
    """One piece of news from a push.

    ``kind``: for each layer ``preparing``, then ``exists``, ``mounted`` (``source`` is the repository), or ``pushing``
    (``current`` of ``total`` bytes) and ``pushed``; at last ``done`` with the manifest's ``digest`` and its size as
    ``total``. ``digest`` of a layer is that of its uncompressed archive, which people know it by.
    """

    kind: str
    digest: str = ""
    current: int = 0
    total: int = 0
    source: str = ""


async def push(
    store: ImageStore,
    name: Reference,
    progress: Callable[[Event], None],
    credentials: Credentials | None = None,
    patience: Patience | None = None,
    platform: Platform | None = None,
) -> str:
    """Send the image that has ``name`` (with a tag) to the name's registry; the digest it has there.

    A name of images for several platforms sends them all, and an index of them; with ``platform`` that one alone.
    Raises NotFound when there is no such name, PermissionDenied, Unavailable.
    """
    known = store.named(name)
    if known is None:
        raise NotFound(f"An image does not exist locally with the tag: {name.familiar_repository}")
    lease = store.lease()
    try:
        found = [store.resolve(str(name), platform)] if platform else members(store, str(name))
        place = Registries().origin(name.domain)
        async with RegistryClient(name.domain, credentials, patience, place) as registry:
            if len(found) == 1:
                await _Push(store, registry, name, found[0], progress).run()
                digest = found[0].record.manifest
            else:
                digest = await _push_index(store, registry, name, found, progress)
        if not platform or not known.others:
            store.note_digest(name, found[0].id, digest)
        return digest
    except BaseExceptionGroup as group:
        raise _first(group) from None
    finally:
        os.close(lease)


async def _push_index(
    store: ImageStore,
    registry: RegistryClient,
    name: Reference,
    found: Sequence[Image],
    progress: Callable[[Event], None],
) -> str:
    """Every image under its digest, then the index of them under the name; its digest."""
    for each in found:
        by = name.replace(tag=None, digest=each.record.manifest)
        await _Push(store, registry, by, each, lambda event: None if event.kind == "done" else progress(event)).run()
    index = index_of(store, name, found)
    data = store.content.read(index.digest, image.MANIFEST_LIMIT)
    await Uploads(registry, name.path).manifest(name.target, data, index.mediaType)
    progress(Event(kind="done", digest=index.digest, total=len(data)))
    return index.digest


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class _Push:
    def __init__(
        self,
        store: ImageStore,
        registry: RegistryClient,
        name: Reference,
        found: Image,
        progress: Callable[[Event], None],
    ) -> None:
        self._store, self._name, self._found, self._progress = store, name, found, progress
        self._uploads = Uploads(registry, name.path)
        self._sending = asyncio.Semaphore(UPLOADS)

    async def run(self) -> None:
        content = self._found.manifest
        layers = self._layers(content)
        for diff_id in layers.values():
            self._progress(Event(kind="preparing", digest=diff_id))
        blobs = {layer.digest: layer for layer in content.layers if layer.digest in layers}
        async with asyncio.TaskGroup() as tasks:
            for digest, layer in blobs.items():
                tasks.create_task(self._blob(layer, layers[digest]))
        await self._blob(content.config, "")
        data = self._store.content.read(self._found.record.manifest, image.MANIFEST_LIMIT)
        media_type = content.mediaType or image.OCI_MANIFEST
        await self._uploads.manifest(self._name.target, data, media_type)
        self._progress(Event(kind="done", digest=self._found.record.manifest, total=len(data)))

    def _layers(self, content: Manifest) -> dict[str, str]:
        """The layers to send, each with its diff ID; those that a registry must not have stay away."""
        pairs = zip(content.layers, self._found.config.rootfs.diff_ids, strict=True)
        return {
            layer.digest: diff_id
            for layer, diff_id in pairs
            if not (layer.urls and ("nondistributable" in layer.mediaType or ".foreign." in layer.mediaType))
        }

    async def _blob(self, blob: Descriptor, diff_id: str) -> None:
        def tell(kind: str, current: int = 0, source: str = "") -> None:
            if diff_id:
                self._progress(Event(kind=kind, digest=diff_id, current=current, total=blob.size, source=source))

        async with self._sending:
            if await self._uploads.has(blob.digest):
                tell("exists")
                return
            for source in self._elsewhere(blob.digest) if diff_id else ():
                if await self._uploads.mount(blob.digest, source):
                    tell("mounted", blob.size, source)
                    return
            fd = self._store.content.open(blob.digest)
            try:
                await self._uploads.upload(blob, fd, lambda sent: tell("pushing", sent))
            finally:
                os.close(fd)
            tell("pushed", blob.size)

    def _elsewhere(self, digest: str) -> list[str]:
        """Other repositories of the registry that were pulled from or pushed to with this blob."""
        found: list[str] = []
        for known in self._store.names():
            name = reference.parse(known.name)
            if not known.digest or name.domain != self._name.domain or name.path in (self._name.path, *found):
                continue
            record = self._store.record(known.image)
            if record and digest in record.blobs:
                found.append(name.path)
        return found[:_MOUNTS]

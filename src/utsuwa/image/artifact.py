"""Documents and blobs that are no image, to registries and back: the caches of builds."""

from __future__ import annotations

import os

from utsuwa.errors import InvalidArgument, Unavailable
from utsuwa.registry.client import RegistryClient
from utsuwa.registry.configuration import Registries
from utsuwa.registry.push import Uploads
from utsuwa.spec import codec, image
from utsuwa.spec.image import Manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from utsuwa.image.store import ImageStore
    from utsuwa.spec.image import Descriptor
    from utsuwa.spec.reference import Reference


def _client(name: Reference) -> RegistryClient:
    return RegistryClient(name.domain, None, None, Registries().origin(name.domain))


async def read(name: Reference) -> list[tuple[bytes, bytes]]:
    """The manifests that a registry has for a name, those of an index each, with their configurations.

    Raises NotFound, PermissionDenied, Unavailable.
    """
    async with _client(name) as registry:
        _, data, media_type = await registry.manifest(name.path, name.target)
        if image.kind(media_type, data) == "index":
            offers = [each for each in image.index(data).manifests if each.mediaType in image.MANIFESTS]
            manifests = [(await registry.manifest(name.path, each.digest, each.size))[1] for each in offers]
        else:
            manifests = [data]
        found = []
        for each in manifests:
            content: Manifest = codec.decode(Manifest, each)
            image.check(content.config, "config")
            if content.config.size > image.CONFIG_LIMIT:
                raise InvalidArgument(f"config.size: {content.config.size} is over the limit")
            found.append((each, await registry.blob(name.path, content.config)))
        return found


async def bring(store: ImageStore, name: Reference, blob: Descriptor) -> None:
    """One blob of a repository into the content store. Raises NotFound, PermissionDenied, Unavailable."""
    taken = store.content.ingest(blob.digest, blob.size)
    if taken is None:
        raise Unavailable(f"blob {blob.digest} is just being written by another process")
    with taken:
        async with _client(name) as registry:
            async for _ in registry.fetch(name.path, blob, taken):
                pass
        taken.commit()


async def send(store: ImageStore, name: Reference, blobs: Iterable[Descriptor], manifest: bytes) -> None:
    """Blobs, as far as they are not there, then the manifest under the name. Raises PermissionDenied, Unavailable."""
    async with _client(name) as registry:
        uploads = Uploads(registry, name.path)
        for blob in blobs:
            if await uploads.has(blob.digest):
                continue
            fd = store.content.open(blob.digest)
            try:
                await uploads.upload(blob, fd, lambda _sent: None)
            finally:
                os.close(fd)
        await uploads.manifest(name.target, manifest, image.OCI_MANIFEST)

"""Manifest lists and registries: images looked up for a list, and the list sent."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument, NotFound
from utsuwa.image.lists import Offer
from utsuwa.registry.client import RegistryClient
from utsuwa.registry.configuration import Registries
from utsuwa.registry.push import Uploads
from utsuwa.spec import codec, digest, image, reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.image.lists import ManifestList
    from utsuwa.spec.reference import Reference


def _client(name: Reference, insecure: bool) -> RegistryClient:
    place = Registries().origin(name.domain)
    place.insecure = place.insecure or insecure
    return RegistryClient(name.domain, None, None, place)


async def fetch(name: Reference, insecure: bool = False) -> tuple[str, bytes, str]:
    """What a registry has under a name: digest, bytes, media type. Raises NotFound in Docker's words, Unavailable."""
    wanted = name.tagged()
    try:
        async with _client(wanted, insecure) as registry:
            return await registry.manifest(wanted.path, wanted.target)
    except NotFound:
        raise NotFound(f"no such manifest: {wanted.familiar()}") from None


async def offers(name: Reference, insecure: bool = False) -> list[tuple[Offer, bytes]]:
    """The images that a registry has under a name, one or those of an index, with their manifests.

    Raises NotFound, PermissionDenied, Unavailable.
    """
    found, data, media_type = await fetch(name, insecure)
    async with _client(name, insecure) as registry:
        if image.kind(media_type, data) != "index":
            return [(await _offer(registry, name.tagged(), found, data, media_type), data)]
        several = []
        for each in image.index(data).manifests:
            _, inner, served = await registry.manifest(name.path, each.digest, each.size)
            offer = await _offer(registry, name.tagged(), each.digest, inner, served)
            offer = offer.replace(name=f"{offer.name}@{offer.digest}")
            platform = each.platform
            if platform:
                offer = offer.replace(os=platform.os, architecture=platform.architecture, variant=platform.variant)
            several.append((offer, inner))
        return several


async def _offer(registry: RegistryClient, name: Reference, by: str, data: bytes, media_type: str) -> Offer:
    content = image.manifest(data)
    config = image.config(await registry.blob(name.path, content.config))
    return Offer(
        name=str(name),
        mediaType=content.mediaType or media_type,
        digest=str(by),
        size=len(data),
        architecture=config.architecture,
        os=config.os,
        variant=config.variant or "",
    )


async def push(name: Reference, found: ManifestList, insecure: bool = False) -> str:
    """Send a list; images of other repositories of the same registry are taken over first. The list's digest.

    Raises InvalidArgument for images of another registry, PermissionDenied, Unavailable.
    """
    wanted = name.tagged()
    data = codec.dumps(found.document(), indent=3).encode()
    async with _client(wanted, insecure) as registry:
        uploads = Uploads(registry, wanted.path)
        for offer in found.offers:
            source = reference.parse(offer.name)
            if source.domain != wanted.domain:
                raise InvalidArgument("cannot use source images from a different registry than the target image")
            if source.path != wanted.path:
                await _take_over(registry, uploads, source, offer)
        await uploads.manifest(wanted.target, data, found.document()["mediaType"])
    return str(digest.of(data))


async def _take_over(registry: RegistryClient, uploads: Uploads, source: Reference, offer: Offer) -> None:
    _, data, _ = await registry.manifest(source.path, offer.digest, offer.size)
    content = image.manifest(data)
    for blob in (*content.layers, content.config):
        if not (await uploads.has(blob.digest) or await uploads.mount(blob.digest, source.path)):
            raise InvalidArgument(f"{source}: the registry does not take {blob.digest} over from {source.path}")
    await uploads.manifest(offer.digest, data, offer.mediaType)

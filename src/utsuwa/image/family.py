"""Images that share a name, one for each platform, and the index that tells registries and archives so.

The name's record has the one that is meant without a word about platforms, the best for this host, and the others
beside it.
"""

from __future__ import annotations

from utsuwa.errors import Error, NotFound
from utsuwa.spec import codec, image, reference
from utsuwa.spec import platform as platforms
from utsuwa.spec.image import Descriptor, Index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from utsuwa.image.store import Image, ImageStore, NameRecord
    from utsuwa.spec.platform import Platform
    from utsuwa.spec.reference import Reference


def members(store: ImageStore, name: str) -> list[Image]:
    """The images of a name, the one that is meant without a platform first; of an ID the one image. Raises NotFound."""
    first = store.resolve(name)
    known = _named(store, name)
    found = [store.record(each) for each in known.others] if known else []
    return [first, *(store.resolve(each.id) for each in found if each)]


def pick(store: ImageStore, name: str, platform: Platform) -> Image:
    """The image of a name that is best for a platform. Raises NotFound in Docker's words when none is."""
    found = members(store, name)
    place = platforms.choose(platform, [each.config.platform for each in found])
    if place is None:
        raise NotFound(
            f"image with reference {name} was found but does not provide the specified platform ({platform})"
        )
    return found[place]


def _named(store: ImageStore, name: str) -> NameRecord | None:
    try:
        return store.named(reference.parse(name))
    except Error:  # an ID
        return None


def beside(store: ImageStore, known: NameRecord, image_id: str) -> tuple[str, tuple[str, ...]]:
    """The image of a name, and those beside it, when one more for a platform comes to those that are ``known``; one for
    the same platform goes.
    """
    found = {each: platform_of(store, each) for each in (known.image, *known.others)}
    new = platform_of(store, image_id)
    kept = [each for each, platform in found.items() if platform is not None and platform != new and each != image_id]
    return ordered(store, [*kept, image_id])


def ordered(store: ImageStore, images: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Of images with one name the best for this host, or else the last; and the rest."""
    place = platforms.choose(platforms.host(), [platform_of(store, each) for each in images])
    first = images[-1 if place is None else place]
    return first, tuple(each for each in images if each != first)


def platform_of(store: ImageStore, image_id: str) -> Platform | None:
    """What an image is for, None when it is not here (any more)."""
    try:
        return platforms.normalize(store.resolve(image_id).config.platform)
    except Error:
        return None


def make_index(store: ImageStore, images: Iterable[Image], annotations: dict[str, str] | None = None) -> Descriptor:
    """An index of images in the content store, the same bytes for the same images. The caller holds a lease."""
    offers = []
    for each in sorted(images, key=lambda one: str(one.config.platform)):
        media_type = each.manifest.mediaType or image.OCI_MANIFEST
        size = store.content.size(each.record.manifest)
        platform = each.config.platform
        offers.append(Descriptor(mediaType=media_type, digest=each.record.manifest, size=size, platform=platform))
    made = Index(schemaVersion=2, mediaType=image.OCI_INDEX, manifests=tuple(offers), annotations=annotations or None)
    data = codec.dumps(made).encode()
    digest = str(store.content.add(data))
    store.content.settle([digest])
    return Descriptor(mediaType=image.OCI_INDEX, digest=digest, size=len(data))


def index_of(store: ImageStore, name: Reference | None, found: Sequence[Image]) -> Descriptor:
    """The index under which images of one name go elsewhere: the one that they came with when all that it names is
    here, else one of those that are here. The caller holds a lease.
    """
    known = store.named(name) if name else None
    here = {each.record.manifest for each in found}
    for digest in (known.index, known.digest) if known else ():
        try:
            data = store.content.read(digest, image.MANIFEST_LIMIT) if digest else b"{}"
            if digest and image.kind("", data) == "index":
                index = image.index(data)
                if {offer.digest for offer in index.manifests} == here:
                    return Descriptor(mediaType=index.mediaType or image.OCI_INDEX, digest=digest, size=len(data))
        except Error:  # no index, or not here
            continue
    return make_index(store, found)


def name_index(store: ImageStore, index: Descriptor, images: Sequence[Image], names: Iterable[Reference]) -> None:
    """Give the images of an index one name, and have each of them keep the index."""
    with store.changing():
        for each in images:
            if index.digest not in each.record.blobs:
                store.replace(each.record.replace(blobs=(*each.record.blobs, index.digest)))
        first, others = ordered(store, [each.id for each in images])
        for name in names:
            store.name_family(name, first, others, index.digest)

"""Images from archives, without any registry: OCI image layouts (image-layout.md), directories or tars of one, and what
``docker save`` wrote before it wrote layouts.
"""

from __future__ import annotations

import os

from utsuwa.errors import Error, InvalidArgument, NotFound, Unavailable
from utsuwa.image.family import name_index, ordered
from utsuwa.image.install import install, parts
from utsuwa.image.layout import open_layout
from utsuwa.image.names import brought_names
from utsuwa.snapshot.unpack import Unpacking
from utsuwa.spec import codec, digest, image, reference
from utsuwa.spec import platform as platforms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from utsuwa.image.install import Part
    from utsuwa.image.layout import Layout
    from utsuwa.image.store import Image, ImageStore
    from utsuwa.snapshot.layers import Staging
    from utsuwa.spec.image import Descriptor
    from utsuwa.spec.platform import Platform
    from utsuwa.spec.reference import Reference

# Where tools write the image's name in index.json: containerd's has it whole, OCI's may be a tag alone.
_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
Loaded = tuple["Image", "tuple[Reference, ...]"]
"""An image, and the names that the archive gave it."""


def load(store: ImageStore, path: str, platform: Platform | None = None) -> list[Loaded]:
    """Take every image of an archive into the store, under the names that it brings along.

    An image for several platforms is taken for ``platform`` (default: this host). Raises NotFound, InvalidArgument for
    what is no archive of images or contradicts itself.
    """
    return _load(store, path, platform, lambda offers, wanted: _choose_all(offers, wanted, bool(platform)))


def load_layout(store: ImageStore, path: str, name: str | None = None, platform: Platform | None = None) -> Image:
    """Take one image of a layout at ``path`` into the store, under ``name`` or the one it brings along.

    With several images in the layout, the one that the layout calls ``name`` is meant, or else the best for
    ``platform`` (default: this host). Raises as :func:`load` does.
    """

    def one(offers: Sequence[Descriptor], wanted: Platform) -> list[tuple[Descriptor, tuple[str, ...]]]:
        chosen = _choose(_called(offers, name) if name else offers, wanted)
        return [(chosen, tuple(text for text in (name or _own_name(chosen),) if text))]

    return _load(store, path, platform, one)[0][0]


def load_from_layout(store: ImageStore, path: str, wanted: str, platform: Platform | None = None) -> Image:
    """Take one image of a layout into the store, without a name: that of the tag or digest ``wanted``, "" for its only
    one, or the best for the platform. Raises as :func:`load` does.
    """

    def one(offers: Sequence[Descriptor], host: Platform) -> list[tuple[Descriptor, tuple[str, ...]]]:
        known = [each for each in offers if wanted in (each.digest, (each.annotations or {}).get(_NAMES[1], ""))]
        if wanted and not known:
            raise NotFound(f"{wanted} is not in the layout")
        return [(_choose(known or offers, host), ())]

    return _load(store, path, platform, one)[0][0]


def _load(store: ImageStore, path: str, platform: Platform | None, choose) -> list[Loaded]:  # type: ignore[no-untyped-def]
    lease = store.lease()
    layout = None
    try:
        layout = open_layout(path, store.root)
        store.sweep()
        if not layout.has("index.json") and layout.is_archive and layout.has("manifest.json"):
            from utsuwa.image.load_docker import load_docker

            return load_docker(store, layout)
        wanted = platform or platforms.host()
        chosen = choose(_offers(layout), wanted)
        one = _load_family if platform is None else _load_one
        return [one(store, layout, descriptor, names, wanted) for descriptor, names in chosen]
    except Error as error:
        raise error.within(f"load {path}") if path not in str(error) else error from None
    finally:
        os.close(lease)
        if layout is not None:
            layout.close()


def _offers(layout: Layout) -> tuple[Descriptor, ...]:
    if not layout.has("oci-layout"):
        raise NotFound("oci-layout is not in the archive, is it an OCI layout or made by docker save?")
    version = codec.parse(layout.read("oci-layout", 4096))
    if not isinstance(version, dict) or version.get("imageLayoutVersion") != "1.0.0":
        raise InvalidArgument("oci-layout: imageLayoutVersion must be 1.0.0")
    return image.index(layout.read("index.json", image.MANIFEST_LIMIT)).manifests


def _load_family(
    store: ImageStore, layout: Layout, chosen: Descriptor, texts: tuple[str, ...], platform: Platform
) -> Loaded:
    """All that the archive has of an image for several platforms; of an image for one, that."""
    offers = image.index(_document(layout, chosen)).manifests if chosen.mediaType in image.INDEXES else ()
    here = [offer for offer in offers if offer.mediaType in image.MANIFESTS and layout.has(_path(offer.digest))]
    here = [offer for offer in here if offer.platform and offer.platform.os == "linux"]
    if len(here) < 2:
        return _load_one(store, layout, chosen, texts, platform)
    _ingest(store, layout, chosen, image.MANIFEST_LIMIT)
    loaded = [_load_one(store, layout, offer, (), platform)[0] for offer in here]
    names = brought_names(texts)
    name_index(store, chosen, loaded, names)
    first, _ = ordered(store, [each.id for each in loaded])
    return store.resolve(first), names


def _document(layout: Layout, descriptor: Descriptor) -> bytes:
    data = layout.read(_path(descriptor.digest), image.MANIFEST_LIMIT)
    digest.verify(digest.parse(descriptor.digest), data, descriptor.size)
    return data


def _path(blob: str) -> str:
    checked = digest.parse(blob)
    return f"blobs/{checked.algorithm}/{checked.hex}"


def _load_one(
    store: ImageStore, layout: Layout, chosen: Descriptor, texts: tuple[str, ...], platform: Platform
) -> Loaded:
    names = brought_names(texts)
    nested: list[str] = []
    while chosen.mediaType in image.INDEXES:
        if len(nested) > 3:
            raise InvalidArgument("index.json: indexes within indexes within indexes")
        nested.append(_ingest(store, layout, chosen, image.MANIFEST_LIMIT))
        chosen = _choose(image.index(store.content.read(chosen.digest)).manifests, platform)
    _ingest(store, layout, chosen, image.MANIFEST_LIMIT)
    data = store.content.read(chosen.digest)
    if image.kind(chosen.mediaType, data) != "manifest":
        raise InvalidArgument(f"{chosen.digest} is not a manifest")
    content = image.manifest(data)
    _ingest(store, layout, content.config, image.CONFIG_LIMIT)
    config = image.config(store.content.read(content.config.digest), len(content.layers))
    stagings = _unpack(store, layout, parts(content, config))
    try:
        made = install(store, chosen, content, config, stagings, [(name, "") for name in names], nested)
    finally:
        for staging in stagings:
            staging.close()
    return made, names


# --- which of them ----------------------------------------------------------------------------------------------------


def _choose(offers: Sequence[Descriptor], platform: Platform) -> Descriptor:
    place = platforms.choose(platform, [offer.platform for offer in offers])
    if place is None:
        raise NotFound(f"no image for {platform} among {len(offers)}")
    return offers[place]


def _choose_all(
    offers: Sequence[Descriptor], platform: Platform, asked: bool
) -> list[tuple[Descriptor, tuple[str, ...]]]:
    """Every image once, with all of its names: of those that share a name, or have none, the best for the platform."""
    by_name: dict[str, list[Descriptor]] = {}
    for offer in offers:
        name = _own_name(offer)
        # Without a name and a platform each is an image of its own.
        by_name.setdefault(name or ("" if offer.platform else offer.digest), []).append(offer)
    chosen: dict[str, Descriptor] = {}
    names: dict[str, list[str]] = {}
    for name, group in by_name.items():
        fits = platforms.choose(platform, [offer.platform for offer in group])
        if fits is None and (asked or len(group) > 1):
            raise NotFound(f"no image for {platform} among {len(group)}")
        best = group[fits or 0]
        chosen[best.digest] = best
        names.setdefault(best.digest, []).extend([name] if _own_name(best) else [])
    return [(best, tuple(names[each])) for each, best in chosen.items()]


def _called(offers: Sequence[Descriptor], name: str) -> Sequence[Descriptor]:
    return [offer for offer in offers if _same_name(_own_name(offer), name)] or offers


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


# --- content ----------------------------------------------------------------------------------------------------------


def _unpack(store: ImageStore, layout: Layout, wanted: list[Part]) -> list[Staging]:
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


def _ingest(store: ImageStore, layout: Layout, descriptor: Descriptor, limit: int | None) -> str:
    """Copy a blob into the content store, verified; returns its digest."""
    if limit is not None and descriptor.size > limit:
        raise InvalidArgument(f"{descriptor.digest}: {descriptor.size} bytes are over the limit of {limit}")
    if store.content.has(descriptor.digest):
        return descriptor.digest
    taken = store.content.ingest(descriptor.digest, descriptor.size)
    if taken is None:
        raise Unavailable(f"blob {descriptor.digest} is just being written by another process, try again")
    with taken:
        for chunk in layout.chunks(_path(descriptor.digest)):
            taken.write(chunk)
        taken.commit()
    return descriptor.digest

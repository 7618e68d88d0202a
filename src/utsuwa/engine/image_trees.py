"""Images by what they are called together, with those for single platforms below (docker images --tree)."""

from __future__ import annotations

from utsuwa.errors import Error, NotFound
from utsuwa.spec import image as images
from utsuwa.spec import reference
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from utsuwa.image.store import Image, ImageStore, NameRecord


class Branch(Record):
    """An image for one platform. ``disk`` bytes it takes, ``content`` of them as it came from a registry; not
    ``here``: only its name is, in an index. ``used``: containers stand on it.
    """

    platform: str
    id: str
    disk: int = 0
    content: int = 0
    here: bool = True
    used: bool = False


class Tree(Record):
    """What some names stand for, and the images for single platforms."""

    names: tuple[str, ...]
    id: str
    created: int
    disk: int
    content: int
    branches: tuple[Branch, ...]

    @property
    def used(self) -> bool:
        """Containers stand on one of them."""
        return any(branch.used for branch in self.branches)


def trees(store: ImageStore, shown: Iterable[Image], used: set[str]) -> list[Tree]:
    """Trees in which one of the images occurs, the latest first. ``used`` are the IDs of images of containers."""
    wanted = {image.id: image for image in shown}
    families: dict[tuple[str, ...], list[NameRecord]] = {}
    for name in store.names():
        family = (name.image, *name.others)
        if reference.parse(name.name).tag and not wanted.keys().isdisjoint(family):
            families.setdefault(family, []).append(name)
    named = {each for family in families for each in family}
    found = [_tree(store, family, names, used) for family, names in families.items()]
    found += [_tree(store, (each,), [], used) for each in wanted if each not in named]
    return sorted(found, key=lambda tree: (-tree.created, tree.names))


def _tree(store: ImageStore, family: tuple[str, ...], names: list[NameRecord], used: set[str]) -> Tree:
    members = []
    for each in family:
        try:
            members.append(store.resolve(each))
        except NotFound:  # removed meanwhile
            continue
    branches = [_branch(store, member, used) for member in members]
    layers = {layer: size for member in members for layer, size in member.layer_sizes().items()}
    content = sum(_size(store, blob) for blob in {blob for member in members for blob in member.record.blobs})
    known = {member.record.manifest for member in members}
    return Tree(
        names=tuple(sorted(reference.parse(name.name).familiar() for name in names)),
        id=family[0],
        created=max((member.created for member in members), default=0),
        disk=sum(layers.values()) + content,
        content=content,
        branches=(*sorted(branches, key=lambda branch: branch.platform), *_elsewhere(store, names, known)),
    )


def _branch(store: ImageStore, image: Image, used: set[str]) -> Branch:
    content = sum(_size(store, blob) for blob in image.record.blobs)
    return Branch(
        platform=str(image.config.platform),
        id=image.id,
        disk=image.size + content,
        content=content,
        used=image.id in used,
    )


def _elsewhere(store: ImageStore, names: list[NameRecord], known: set[str]) -> list[Branch]:
    """What an index of theirs names besides, and was not pulled."""
    found: dict[str, Branch] = {}
    for digest in {digest for name in names for digest in (name.index, name.digest) if digest}:
        try:
            data = store.content.read(digest, images.MANIFEST_LIMIT)
            offers = images.index(data).manifests if images.kind("", data) == "index" else ()
        except Error:  # not here either
            continue
        for offer in offers:
            if offer.platform and offer.platform.os != "unknown" and offer.digest not in known:
                found[offer.digest] = Branch(platform=str(offer.platform), id=offer.digest, here=False)
    return sorted(found.values(), key=lambda branch: branch.platform)


def _size(store: ImageStore, blob: str) -> int:
    try:
        return store.content.size(blob)
    except NotFound:  # collected: the layer is unpacked
        return 0

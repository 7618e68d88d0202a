"""`utsuwa manifest inspect`: a list in the making, or what a registry has (docker manifest inspect)."""

from __future__ import annotations

from utsuwa.cli.flags import SWITCH, Option
from utsuwa.cli.house import House, Verb
from utsuwa.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.image.lists import Offer
    from utsuwa.spec.reference import Reference

VERB = Verb(
    "manifest inspect [OPTIONS] [MANIFEST_LIST] MANIFEST",
    "Display an image manifest, or manifest list",
    (
        Option("insecure", "", SWITCH, "Allow communication with an insecure registry"),
        Option("verbose", "v", SWITCH, "Output additional info including layers and platform"),
    ),
    least=1,
    most=2,
)


def run(words: list[str]) -> int:
    """Print JSON as Docker does: lists with three blanks a level, manifests with tabs."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.image.lists import Lists
    from utsuwa.spec import codec, reference

    names = list(map(reference.parse, arguments.words))
    lists, insecure = Lists(House().images.store.root), arguments.on("insecure")
    if len(names) == 2:
        _check_member(lists.find(names[0]).offers, *names)
    elif not arguments.on("verbose"):
        try:
            print(codec.dumps(lists.find(names[0]).document(), indent=3))
            return 0
        except NotFound:
            pass
    print(_verbose(names[-1], insecure) if arguments.on("verbose") else _plain(names[-1], insecure))
    return 0


def _check_member(offers: tuple[Offer, ...], name: Reference, member: Reference) -> None:
    if all(offer.name != str(member.tagged()) for offer in offers):
        shown = member.tagged().familiar()
        raise NotFound(f"manifest for image {shown} does not exist in {name.tagged().familiar()}")


def _plain(name: Reference, insecure: bool) -> str:
    import asyncio

    from utsuwa.image import listing
    from utsuwa.spec import codec, image

    _, data, media_type = asyncio.run(listing.fetch(name, insecure))
    is_index = image.kind(media_type, data) == "index"
    return codec.dumps(codec.parse(data), indent=3 if is_index else "\t")


def _verbose(name: Reference, insecure: bool) -> str:
    import asyncio

    from utsuwa.image import listing
    from utsuwa.spec import codec

    found = [_shown(offer, data) for offer, data in asyncio.run(listing.offers(name, insecure))]
    return codec.dumps(found[0] if len(found) == 1 else found, indent="\t")


def _shown(offer: Offer, data: bytes) -> dict[str, Any]:
    from base64 import b64encode

    from utsuwa.spec import codec, image

    described = offer.described()
    order = ("mediaType", "digest", "size", "platform")
    kind = "SchemaV2Manifest" if offer.mediaType == image.DOCKER_MANIFEST else "OCIManifest"
    return {
        "Ref": offer.name,
        "Descriptor": {key: described[key] for key in order},
        "Raw": b64encode(data).decode(),
        kind: codec.parse(data),
    }

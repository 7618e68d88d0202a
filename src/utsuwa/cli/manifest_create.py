"""`utsuwa manifest create`: a list of images that a registry has (docker manifest create)."""

from __future__ import annotations

from utsuwa.cli.flags import SWITCH, Option
from utsuwa.cli.house import House, Verb

VERB = Verb(
    "manifest create MANIFEST_LIST MANIFEST [MANIFEST...]",
    "Create a local manifest list for annotating and pushing to a registry",
    (
        Option("amend", "a", SWITCH, "Amend an existing manifest list"),
        Option("insecure", "", SWITCH, "Allow communication with an insecure registry"),
    ),
    least=2,
)


def run(words: list[str]) -> int:
    """Look every image up where it is."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    import asyncio

    from utsuwa.image import listing
    from utsuwa.image.lists import Lists
    from utsuwa.spec import reference

    name, *others = map(reference.parse, arguments.words)
    lists = Lists(House().images.store.root)
    if not arguments.on("amend"):
        lists.add(name, [], amend=False)
    try:
        found = [offer for other in others for offer, _ in asyncio.run(listing.offers(other, arguments.on("insecure")))]
    except BaseException:
        if not arguments.on("amend"):
            lists.remove(name)
        raise
    lists.add(name, found, amend=True)
    print(f"Created manifest list {name.tagged()}")
    return 0

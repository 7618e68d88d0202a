"""`utsuwa manifest push`: a list to its registry (docker manifest push)."""

from __future__ import annotations

from utsuwa.cli.flags import SWITCH, Option
from utsuwa.cli.house import House, Verb

VERB = Verb(
    "manifest push [OPTIONS] MANIFEST_LIST",
    "Push a manifest list to a repository",
    (
        Option("insecure", "", SWITCH, "Allow push to an insecure registry"),
        Option("purge", "p", SWITCH, "Remove the local manifest list after push"),
    ),
    least=1,
    most=1,
)


def run(words: list[str]) -> int:
    """Print the digest."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    import asyncio

    from utsuwa.image import listing
    from utsuwa.image.lists import Lists
    from utsuwa.spec import reference

    name = reference.parse(arguments.words[0])
    lists = Lists(House().images.store.root)
    print(asyncio.run(listing.push(name, lists.find(name), arguments.on("insecure"))))
    if arguments.on("purge"):
        lists.remove(name)
    return 0

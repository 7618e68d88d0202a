"""`utsuwa push`: an image to a registry (docker push)."""

from __future__ import annotations

import sys

from utsuwa.cli.flags import SWITCH, WORD, Option
from utsuwa.cli.house import House, Verb
from utsuwa.errors import InvalidArgument, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.spec.reference import Reference

VERB = Verb(
    "push [OPTIONS] NAME[:TAG]",
    "Upload an image to a registry",
    (
        Option("all-tags", "a", SWITCH, "Push all tags of an image to the repository"),
        Option("platform", "", WORD, "Push the image for this platform alone (os[/arch[/variant]])"),
        Option("quiet", "q", SWITCH, "Suppress verbose output"),
    ),
    least=1,
    most=1,
)


def run(words: list[str]) -> int:
    """Show what becomes of each layer, then the digest."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.cli.pushing import push
    from utsuwa.spec import platform, reference

    name = reference.parse(arguments.words[0])
    if name.digest:
        raise InvalidArgument("cannot push a digest reference")
    house, quiet = House(), arguments.on("quiet")
    if arguments.on("all-tags"):
        names = _all_tags(house, name)
    else:
        names = [name.tagged()]
        if not name.tag and not quiet:
            print(f"Using default tag: {names[0].tag}")
    asked = platform.parse(arguments.text("platform")) if arguments.text("platform") else None
    for each in names:
        if asked and house.images.store.named(each):
            house.images.store.resolve(each.familiar(), asked)
    if not quiet:
        print(f"The push refers to repository [{name.repository}]", flush=True)
    for each in names:
        push(house, each, quiet=quiet, out=sys.stdout, platform=asked)
        house.images.note("push", each.familiar(), each.familiar_repository)
    if quiet:
        print(name if arguments.on("all-tags") else names[0])
    return 0


def _all_tags(house: House, name: Reference) -> list[Reference]:
    from utsuwa.spec import reference

    if name.tag:
        raise InvalidArgument("tag can't be used with --all-tags/-a")
    known = [reference.parse(each.name) for each in house.images.store.names()]
    found = sorted((each for each in known if each.repository == name.repository and each.tag), key=str)
    if not found:
        raise NotFound(f"An image does not exist locally with the tag: {name.familiar_repository}")
    return found

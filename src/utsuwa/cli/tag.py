"""`utsuwa tag`: another name for an image (docker tag)."""

from __future__ import annotations

from utsuwa.cli.house import House, Verb
from utsuwa.image.names import new_name

VERB = Verb(
    "tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    least=2,
    most=2,
)


def run(words: list[str]) -> int:
    """Print nothing."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    source, target = arguments.words
    house = House()
    image = house.images.resolve(source)
    house.images.store.tag(source, target)
    house.images.note("tag", image.id, new_name(target).familiar())
    return 0

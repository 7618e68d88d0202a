"""`utsuwa rmi`: remove images (docker rmi)."""

from __future__ import annotations

from utsuwa.cli.flags import SWITCH, Option
from utsuwa.cli.house import House, Verb, each
from utsuwa.engine.images import with_tag
from utsuwa.errors import NotFound

VERB = Verb(
    "rmi [OPTIONS] IMAGE [IMAGE...]",
    "Remove one or more images",
    (Option("force", "f", SWITCH, "Force removal of the image"),),
    least=1,
)


def run(words: list[str]) -> int:
    """Print what was untagged and deleted."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    house = House()
    users = {record.imageId for record, _status in house.containers.list(everything=True)}

    def remove(name: str) -> str | None:
        try:
            removal = house.images.store.remove(name, arguments.on("force"), users)
        except NotFound:
            if arguments.on("force"):
                return None
            raise NotFound(f"No such image: {with_tag(name)}") from None
        lines = [f"Untagged: {each_name}" for each_name in removal.untagged]
        return "\n".join([*lines, *(f"Deleted: {digest}" for digest in removal.deleted)]) or None

    return each(arguments.words, remove)

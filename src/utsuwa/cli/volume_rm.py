"""`utsuwa volume rm`: remove volumes (docker volume rm)."""

from __future__ import annotations

from utsuwa.cli.flags import SWITCH, Option
from utsuwa.cli.house import House, Verb, each

VERB = Verb(
    "volume rm [OPTIONS] VOLUME [VOLUME...]",
    "Remove one or more volumes. You cannot remove a volume that is in use by a container.",
    (Option("force", "f", SWITCH, "Force the removal of one or more volumes"),),
    least=1,
)


def run(words: list[str]) -> int:
    """Print what was removed."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    volumes = House().volumes

    def remove(name: str) -> str:
        volumes.remove(name, force=arguments.on("force"))
        return name

    return each(arguments.words, remove)

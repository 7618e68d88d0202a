"""`utsuwa rm`: remove containers (docker rm)."""

from __future__ import annotations

import sys

from utsuwa.cli.flags import SWITCH, Option
from utsuwa.cli.house import House, Verb, each
from utsuwa.errors import NotFound, printable

VERB = Verb(
    "rm [OPTIONS] CONTAINER [CONTAINER...]",
    "Remove one or more containers",
    (
        Option("force", "f", SWITCH, "Force the removal of a running container (uses SIGKILL)"),
        Option("volumes", "v", SWITCH, "Remove anonymous volumes associated with the container"),
    ),
    least=1,
)


def run(words: list[str]) -> int:
    """Print what was removed; with --force a container that is not there is told of, and is no failure."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    house = House()
    force, volumes = arguments.on("force"), arguments.on("volumes")

    def remove(name: str) -> str | None:
        try:
            record = house.containers.find(name)
        except NotFound as error:
            if not force:
                raise
            print(f"utsuwa: {printable(str(error))}", file=sys.stderr)
            return None
        house.containers.remove(record, force=force, volumes=volumes)
        return name

    return each(arguments.words, remove)

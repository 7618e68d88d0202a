"""`utsuwa restart`: stop containers and start them again (docker restart)."""

from __future__ import annotations

from utsuwa.cli.house import House, Verb, each_at_once
from utsuwa.cli.stop import OPTIONS, manner

VERB = Verb(
    "restart [OPTIONS] CONTAINER [CONTAINER...]",
    "Restart one or more containers",
    OPTIONS,
    least=1,
)


def run(words: list[str]) -> int:
    """Print the names; one that does not run is started."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    house = House()

    def restart(name: str) -> str:
        house.containers.restart(house.containers.find(name), *manner(arguments))
        return name

    return each_at_once(arguments.words, restart)

"""`utsuwa network rm` (docker network rm)."""

from __future__ import annotations

from utsuwa.cli.flags import SWITCH, Option
from utsuwa.cli.house import House, Verb, each
from utsuwa.errors import NotFound

VERB = Verb(
    "network rm NETWORK [NETWORK...]",
    "Remove one or more networks",
    (Option("force", "f", SWITCH, "Do not error if the network does not exist"),),
    least=1,
)


def run(words: list[str]) -> int:
    """Print the names."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.engine.networks import Networks

    house = House()
    networks = Networks(house.paths)
    house.containers.list(everything=True)  # what killed processes left would be in the way

    def remove(name: str) -> str | None:
        try:
            networks.remove(networks.find(name))
        except NotFound:
            if arguments.on("force"):
                return None
            raise
        return name

    return each(arguments.words, remove)

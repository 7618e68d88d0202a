"""`utsuwa network disconnect` (docker network disconnect)."""

from __future__ import annotations

from utsuwa.cli.flags import SWITCH, Option
from utsuwa.cli.house import House, Verb

VERB = Verb(
    "network disconnect [OPTIONS] NETWORK CONTAINER",
    "Disconnect a container from a network",
    (Option("force", "f", SWITCH, "Force the container to disconnect from a network"),),
    least=2,
    most=2,
)


def run(words: list[str]) -> int:
    """Prints nothing."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.engine.connecting import disconnect
    from utsuwa.engine.networks import Networks

    house = House()
    name, container = arguments.words
    network = Networks(house.paths).find(name)
    disconnect(house.paths, house.containers.find(container), network, force=arguments.on("force"))
    return 0

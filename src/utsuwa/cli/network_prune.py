"""`utsuwa network prune` (docker network prune)."""

from __future__ import annotations

from utsuwa.cli.container_prune import condition, confirm
from utsuwa.cli.flags import LIST, SWITCH, Option
from utsuwa.cli.house import House, Verb

VERB = Verb(
    "network prune [OPTIONS]",
    "Remove all unused networks",
    (
        Option("filter", "", LIST, 'Provide filter values (e.g. "until=<timestamp>")'),
        Option("force", "f", SWITCH, "Do not prompt for confirmation"),
    ),
    most=0,
)
_WARNING = (
    "WARNING! This will remove all custom networks not used by at least one container.\n"
    "Are you sure you want to continue? [y/N] "
)


def run(words: list[str]) -> int:
    """Print what was removed."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    wanted = condition(arguments.list("filter"))
    if not (arguments.on("force") or confirm(_WARNING)):
        return 0
    from utsuwa.engine.networks import Networks

    house = House()
    house.containers.list(everything=True)
    removed = Networks(house.paths).prune(wanted)
    if removed:
        print("Deleted Networks:", *removed, "", sep="\n")
    return 0

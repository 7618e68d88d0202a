"""`utsuwa network prune` (docker network prune)."""

from __future__ import annotations

from utsuwa.cli import times
from utsuwa.cli.container_prune import confirm
from utsuwa.cli.flags import LIST, SWITCH, Option
from utsuwa.cli.house import House, Verb
from utsuwa.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.network.records import Network

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


def condition(filters: list[str]) -> Callable[[Network], bool]:
    """What --filter says of a network; everything has to hold."""
    from utsuwa.cli.logs import moment
    from utsuwa.engine.pruning import has_labels

    found: dict[str, list[str]] = {"until": [], "label": [], "label!": []}
    for text in filters:
        key, equals, value = text.partition("=")
        if not equals or key not in found:
            raise InvalidArgument(f"invalid filter '{text}' (until=TIMESTAMP, label=KEY, label!=KEY=VALUE)")
        found[key].append(value)
    until = moment("".join(found["until"]))
    return lambda network: (
        has_labels(network.labels, found["label"], found["label!"])
        and (until is None or times.parse(network.createdAt) < until)
    )

"""`utsuwa container prune`: remove the containers that don't run (docker container prune)."""

from __future__ import annotations

import sys

from utsuwa.cli import times
from utsuwa.cli.flags import LIST, SWITCH, Option
from utsuwa.cli.house import House, Verb
from utsuwa.cli.images import size
from utsuwa.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.network.records import Network

VERB = Verb(
    "container prune [OPTIONS]",
    "Remove all stopped containers",
    (
        Option("filter", "", LIST, 'Provide filter values ("until=TIMESTAMP", "label=KEY", "label!=KEY=VALUE")'),
        Option("force", "f", SWITCH, "Do not prompt for confirmation"),
    ),
    most=0,
)
_WARNING = "WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] "


def run(words: list[str]) -> int:
    """Print what was removed, and how much room that made."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    if not (arguments.on("force") or confirm(_WARNING)):
        print("Total reclaimed space: 0B")
        return 0
    from utsuwa.engine.pruning import prune

    house = House()
    removed, freed = prune(house.containers, house.images, condition(arguments.list("filter")))
    if removed:
        print("Deleted Containers:", *removed, "", sep="\n")
    print(f"Total reclaimed space: {size(freed)}")
    return 0


def condition(filters: list[str]) -> Callable[[ContainerRecord | Network], bool]:
    """What --filter says of a container or a network; everything has to hold."""
    from utsuwa.cli.times import moment
    from utsuwa.engine.labels import has_labels

    found: dict[str, list[str]] = {"until": [], "label": [], "label!": []}
    for text in filters:
        key, equals, value = text.partition("=")
        if not equals or key not in found:
            raise InvalidArgument(f"invalid filter '{text}' (until=TIMESTAMP, label=KEY, label!=KEY=VALUE)")
        found[key].append(value)
    if len(found["until"]) > 1:
        raise InvalidArgument("more than one until filter specified")
    until = moment("".join(found["until"]))
    return lambda one: (
        has_labels(one.labels, found["label"], found["label!"])
        and (until is None or times.parse(one.createdAt) < until)
    )


def confirm(question: str) -> bool:
    """Whether "y" is the answer."""
    print(question, end="", flush=True)
    return sys.stdin is not None and sys.stdin.readline().strip().lower() == "y"

"""`utsuwa volume prune`: remove the volumes that no container has (docker volume prune)."""

from __future__ import annotations

import sys

from utsuwa.cli import volume_filters
from utsuwa.cli.flags import LIST, SWITCH, Option
from utsuwa.cli.house import House, Verb
from utsuwa.cli.images import size

VERB = Verb(
    "volume prune [OPTIONS]",
    "Remove unused local volumes",
    (
        Option("all", "a", SWITCH, "Remove all unused volumes, not just anonymous ones"),
        Option("filter", "", LIST, "Provide filter values (label=KEY, label!=KEY=VALUE)"),
        Option("force", "f", SWITCH, "Do not prompt for confirmation"),
    ),
    most=0,
)


def run(words: list[str]) -> int:
    """Print what was removed, and what that freed."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    wanted = volume_filters.parse(arguments.list("filter"), volume_filters.PRUNE_KEYS)
    everything = arguments.on("all") or volume_filters.includes_named(wanted)
    if not arguments.on("force") and not _confirmed("all volumes" if everything else "anonymous volumes"):
        return 1
    removed, freed = House().volumes.prune(
        lambda record: (everything or record.anonymous) and volume_filters.match(wanted, record)
    )
    if removed:
        print("Deleted Volumes:", *removed, "", sep="\n")
    print(f"Total reclaimed space: {size(freed)}")
    return 0


def _confirmed(what: str) -> bool:
    """The user says yes, having been asked."""
    print(f"WARNING! This will remove {what} not used by at least one container.")
    print("Are you sure you want to continue? [y/N] ", end="", flush=True)
    return sys.stdin is not None and sys.stdin.readline().strip().lower() in ("y", "yes")

"""`utsuwa builder`: builds, and what their cache holds (docker builder)."""

from __future__ import annotations

import sys
import time

from utsuwa.cli import build
from utsuwa.cli.flags import SWITCH, WORD, BadUsage, Option
from utsuwa.cli.house import House, Verb
from utsuwa.cli.images import size
from utsuwa.cli.listing import table
from utsuwa.errors import InvalidArgument

_VERBS = {"build": "Build an image from a Dockerfile", "du": "Disk usage of the cache", "prune": "Remove build cache"}
_PRUNE = Verb(
    "builder prune [OPTIONS]",
    "Remove build cache",
    (
        Option("all", "a", SWITCH, "Remove all unused build cache, not just that of no image"),
        Option("filter", "", WORD, "Provide filter values (until=24h: what was not used for that long)"),
        Option("force", "f", SWITCH, "Do not prompt for confirmation"),
    ),
    most=0,
)
_DU = Verb("builder du", "Disk usage of the cache", most=0)


class VERB:
    """What is said after a complaint."""

    usage = "builder COMMAND"


def run(words: list[str]) -> int:
    """The exit code of the verb that comes first."""
    verb, *rest = words or ["--help"]
    if verb in ("-h", "--help"):
        rows = [f"  {name:8}{purpose}" for name, purpose in _VERBS.items()]
        print("\n".join(["Usage:  utsuwa builder COMMAND", "", "Manage builds", "", "Commands:", *rows]))
        return 0
    if verb not in _VERBS:
        error = BadUsage(f"unknown command: utsuwa builder {verb}")
        error.exit_code = 1
        raise error
    return {"build": build.run, "du": _usage, "prune": _prune}[verb](rest)


def _prune(words: list[str]) -> int:
    arguments = _PRUNE.read(words)
    if arguments is None:
        return 0
    older = _seconds(arguments.text("filter"))
    if not arguments.on("force"):
        what = "all build cache" if arguments.on("all") else "all dangling build cache"
        print(f"WARNING! This will remove {what}. Are you sure you want to continue? [y/N] ", end="", flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            print("Total reclaimed space: 0B")
            return 0
    from utsuwa.build.cache import Cache
    from utsuwa.build.workshop import sweep

    house = House()
    sweep(house.paths, house.images)
    gone = Cache(house.images.store).prune(arguments.on("all"), older)
    for found in gone:
        print(found.id)
    freed = sum(found.size for found in gone)
    house.images.note_pruned("builder", freed)
    print(f"Total reclaimed space: {size(freed)}")
    return 0


def _seconds(text: str) -> float:
    if not text:
        return 0.0
    from utsuwa.build.arguments import duration

    name, equals, value = text.partition("=")
    if name != "until" or not equals:
        raise InvalidArgument(f"invalid filter '{text}' (until=24h)")
    return duration("until", value) / 1e9


def _usage(words: list[str]) -> int:
    if _DU.read(words) is None:
        return 0
    from utsuwa.build.cache import Cache

    found = Cache(House().images.store).entries()
    rows = [
        [
            each.id[:25],
            each.kind,
            size(each.size),
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each.used)),
            each.text[:60],
        ]
        for each in found
    ]
    print(table(["ID", "TYPE", "SIZE", "LAST USED", "DESCRIPTION"], rows))
    print(f"Total: {size(sum(each.size for each in found))}")
    return 0

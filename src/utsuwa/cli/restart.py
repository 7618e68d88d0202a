"""`utsuwa restart`: stop containers and start them again (docker restart)."""

from __future__ import annotations

from utsuwa.cli.flags import NUMBER, WORD, Option
from utsuwa.cli.house import House, Verb, each_at_once

VERB = Verb(
    "restart [OPTIONS] CONTAINER [CONTAINER...]",
    "Restart one or more containers",
    (
        Option("signal", "s", WORD, "Signal to send to the container"),
        Option("time", "t", NUMBER, "Seconds to wait before killing the container"),
        Option("timeout", "", NUMBER, "As --time"),
    ),
    least=1,
)


def run(words: list[str]) -> int:
    """Print the names; one that does not run is started."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    house = House()
    seconds = arguments.number("time")
    seconds = arguments.number("timeout") if seconds is None else seconds

    def restart(name: str) -> str:
        house.containers.restart(house.containers.find(name), seconds, arguments.text("signal") or None)
        return name

    return each_at_once(arguments.words, restart)

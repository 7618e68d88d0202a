"""`utsuwa stop`: ask containers to end, then make them (docker stop)."""

from __future__ import annotations

from utsuwa.cli.flags import NUMBER, WORD, Arguments, Option
from utsuwa.cli.house import House, Verb, each_at_once

OPTIONS = (
    Option("signal", "s", WORD, "Signal to send to the container"),
    Option("time", "t", NUMBER, "Seconds to wait before killing the container"),
    Option("timeout", "", NUMBER, "As --time"),
)
"""How a container is asked to end; `restart` asks likewise."""
VERB = Verb(
    "stop [OPTIONS] CONTAINER [CONTAINER...]",
    "Stop one or more running containers",
    OPTIONS,
    least=1,
)


def run(words: list[str]) -> int:
    """Print the names; one that has stopped already is no failure."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    house = House()

    def stop(name: str) -> str:
        house.containers.stop(house.containers.find(name), *manner(arguments))
        return name

    return each_at_once(arguments.words, stop)


def manner(arguments: Arguments) -> tuple[int | None, str | None]:
    """Seconds and signal, where they are given."""
    seconds = arguments.number("time")
    return arguments.number("timeout") if seconds is None else seconds, arguments.text("signal") or None

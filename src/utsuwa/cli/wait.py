"""`utsuwa wait`: until containers end (docker wait)."""

from __future__ import annotations

from utsuwa.cli.house import House, Verb, each

VERB = Verb(
    "wait CONTAINER [CONTAINER...]", "Block until one or more containers stop, then print their exit codes", least=1
)


def run(words: list[str]) -> int:
    """Print the exit codes."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    house = House()
    return each(arguments.words, lambda name: str(house.containers.wait(house.containers.find(name))))

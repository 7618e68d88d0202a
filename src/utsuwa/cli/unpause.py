"""`utsuwa unpause`: let paused containers go on (docker unpause)."""

from __future__ import annotations

from utsuwa.cli.house import House, Verb, each

VERB = Verb("unpause CONTAINER [CONTAINER...]", "Unpause all processes within one or more containers", least=1)


def run(words: list[str]) -> int:
    """Print the names."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.engine.pausing import unpause

    house = House()

    def act(name: str) -> str:
        unpause(house.paths, house.containers.find(name))
        return name

    return each(arguments.words, act)

"""`utsuwa pause`: stop all processes of containers where they are (docker pause)."""

from __future__ import annotations

from utsuwa.cli.house import House, Verb, each

VERB = Verb("pause CONTAINER [CONTAINER...]", "Pause all processes within one or more containers", least=1)


def run(words: list[str]) -> int:
    """Print the names."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.engine.pausing import pause

    house = House()

    def act(name: str) -> str:
        pause(house.paths, house.containers.find(name))
        return name

    return each(arguments.words, act)

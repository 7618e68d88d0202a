"""`utsuwa rename`: another name for a container (docker rename)."""

from __future__ import annotations

from utsuwa.cli.house import House, Verb

VERB = Verb("rename CONTAINER NEW_NAME", "Rename a container", least=2, most=2)


def run(words: list[str]) -> int:
    """Prints nothing."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.engine.renaming import rename

    house = House()
    old, new = arguments.words
    rename(house.paths, house.containers.find(old), new)
    return 0

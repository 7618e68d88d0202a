"""`utsuwa top`: the processes of a container (docker top)."""

from __future__ import annotations

from utsuwa.cli.house import House, Verb
from utsuwa.cli.listing import one_line

VERB = Verb("top CONTAINER [ps OPTIONS]", "Display the running processes of a container", least=1)
_WIDTH, _GAP = 20, 3
"""Docker's columns are at least so wide, their gap included."""


def run(words: list[str]) -> int:
    """Print ps's table of them; the options of ps(1) come after the container."""
    arguments = VERB.read(words, interspersed=False)
    if arguments is None:
        return 0
    from utsuwa.engine.processes import processes

    name, *options = arguments.words
    house = House()
    titles, rows = processes(house.paths, house.containers.find(name), tuple(options))
    lines = [titles, *([one_line(cell) for cell in row] for row in rows)]
    widths = [max(_WIDTH, _GAP + max(len(line[column]) for line in lines)) for column in range(len(titles) - 1)]
    for line in lines:
        print("".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=False)) + line[-1])
    return 0

"""`utsuwa diff`: what a container has changed of its image (docker diff)."""

from __future__ import annotations

import os

from utsuwa.cli.house import House, Verb
from utsuwa.cli.listing import one_line

VERB = Verb("diff CONTAINER", "Inspect changes to files or directories on a container's filesystem", least=1, most=1)


def run(words: list[str]) -> int:
    """Print a line for each: A(dded), C(hanged) or D(eleted), and the path."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.snapshot.diff import changes

    house = House()
    record = house.containers.find(arguments.words[0])
    for change in changes(house.images.snapshotter, record.id):  # type: ignore[arg-type]
        if change.path:
            print(f"{change.kind} {one_line(os.fsdecode(b'/' + change.path))}")
    return 0

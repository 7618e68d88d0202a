"""`utsuwa recover`: start the containers that are to run, after a reboot or a crash."""

from __future__ import annotations

import sys

from utsuwa.cli import output
from utsuwa.cli.house import House, Verb
from utsuwa.errors import printable

VERB = Verb("recover", "Start containers again whose restart policy asks for it, after a reboot or a crash", most=0)


def run(words: list[str]) -> int:
    """Print the names of the containers that were started."""
    if VERB.read(words) is None:
        return 0
    from utsuwa.engine.reboot import recover

    house, code = House(), 0
    for record, error in recover(house.paths, house.containers):
        if error is None:
            print(record.name)
        else:
            output.flush()
            print(f"utsuwa: {record.name}: {printable(str(error))}", file=sys.stderr)
            code = 1
    return code

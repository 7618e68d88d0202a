"""`utsuwa create`: a container without a process yet (docker create)."""

from __future__ import annotations

from utsuwa.cli import create_options
from utsuwa.cli.house import House, Verb
from utsuwa.cli.run import make, write_id

VERB = Verb("create [OPTIONS] IMAGE [COMMAND] [ARG...]", "Create a new container", create_options.OPTIONS, least=1)


def run(words: list[str]) -> int:
    """Print the id."""
    arguments = VERB.read(words, interspersed=False)
    if arguments is None:
        return 0
    record = make(House(), arguments, create_options.request(arguments))
    if arguments.text("cidfile"):
        write_id(arguments.text("cidfile"), record)
    print(record.id)
    return 0

"""`utsuwa wait`: until containers end (docker wait)."""

from __future__ import annotations

from utsuwa.cli.flags import WORD, BadUsage, Option
from utsuwa.cli.house import House, Verb, each_at_once

VERB = Verb(
    "wait [OPTIONS] CONTAINER [CONTAINER...]",
    "Block until one or more containers stop, then print their exit codes",
    (Option("condition", "", WORD, "What to wait for (not-running, next-exit, removed)", "not-running"),),
    least=1,
)


def run(words: list[str]) -> int:
    """Print the exit codes."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.engine.ending import CONDITIONS

    condition = arguments.text("condition")
    if condition not in CONDITIONS:
        raise BadUsage(f'invalid condition: "{condition}" (one of {", ".join(CONDITIONS)})')
    house = House()

    def wait(name: str) -> str:
        return str(house.containers.wait(house.containers.find(name), condition))

    return each_at_once(arguments.words, wait)

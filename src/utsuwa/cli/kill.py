"""`utsuwa kill`: a signal for running containers (docker kill)."""

from __future__ import annotations

from utsuwa.cli.flags import WORD, Option
from utsuwa.cli.house import House, Verb, each_at_once
from utsuwa.errors import FailedPrecondition, NotFound

VERB = Verb(
    "kill [OPTIONS] CONTAINER [CONTAINER...]",
    "Kill one or more running containers",
    (Option("signal", "s", WORD, "Signal to send to the container", "KILL"),),
    least=1,
)


def run(words: list[str]) -> int:
    """Print the names."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    house = House()

    def kill(name: str) -> str:
        try:
            house.containers.kill(house.containers.find(name), arguments.text("signal"))
        except (NotFound, FailedPrecondition) as error:
            raise error.within(f"Cannot kill container: {name}") from error
        return name

    return each_at_once(arguments.words, kill)

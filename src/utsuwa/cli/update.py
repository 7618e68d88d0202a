"""`utsuwa update`: new limits for containers (docker update)."""

from __future__ import annotations

from utsuwa.cli.flags import NUMBER, WORD, Arguments, Option
from utsuwa.cli.house import House, Verb, each
from utsuwa.errors import InvalidArgument
from utsuwa.spec import flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.engine.updating import Limits

VERB = Verb(
    "update [OPTIONS] CONTAINER [CONTAINER...]",
    "Update configuration of one or more containers",
    (
        Option("blkio-weight", "", NUMBER, "Block IO (relative weight), between 10 and 1000, or 0 to disable"),
        Option("cpu-period", "", NUMBER, "Limit CPU CFS (Completely Fair Scheduler) period"),
        Option("cpu-quota", "", NUMBER, "Limit CPU CFS (Completely Fair Scheduler) quota"),
        Option("cpu-rt-period", "", NUMBER, "Limit the CPU real-time period in microseconds"),
        Option("cpu-rt-runtime", "", NUMBER, "Limit the CPU real-time runtime in microseconds"),
        Option("cpu-shares", "c", NUMBER, "CPU shares (relative weight)"),
        Option("cpus", "", WORD, "Number of CPUs"),
        Option("cpuset-cpus", "", WORD, "CPUs in which to allow execution (0-3, 0,1)"),
        Option("cpuset-mems", "", WORD, "MEMs in which to allow execution (0-3, 0,1)"),
        Option("memory", "m", WORD, "Memory limit"),
        Option("memory-reservation", "", WORD, "Memory soft limit"),
        Option("memory-swap", "", WORD, "Swap limit equal to memory plus swap: -1 to enable unlimited swap"),
        Option("pids-limit", "", NUMBER, "Tune container pids limit (set -1 for unlimited)"),
        Option("restart", "", WORD, "Restart policy to apply when a container exits"),
    ),
    least=1,
)


def run(words: list[str]) -> int:
    """Print the names."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    if not arguments.given:
        raise InvalidArgument("you must provide one or more flags when using this command")
    from utsuwa.engine.updating import update

    limits = _limits(arguments)
    house = House()

    def act(name: str) -> str:
        update(house.paths, house.containers.find(name), limits)
        return name

    return each(arguments.words, act)


def _limits(arguments: Arguments) -> Limits:
    from utsuwa.engine.updating import Limits

    given = arguments.text
    numbers = ("blkio-weight", "cpu-period", "cpu-quota", "cpu-rt-period", "cpu-rt-runtime", "cpu-shares", "pids-limit")
    found: dict[str, Any] = {name.replace("-", "_"): arguments.number(name) for name in numbers}
    found |= {name.replace("-", "_"): given(name) or None for name in ("cpuset-cpus", "cpuset-mems")}
    if given("memory"):
        found["memory"] = flags.parse_bytes(given("memory"))
    if given("memory-reservation"):
        found["memory_reservation"] = flags.parse_bytes(given("memory-reservation"), "memory-reservation")
    if given("memory-swap"):
        found["memory_swap"] = flags.parse_memory_swap(given("memory-swap"))
    if given("cpus"):
        found["nano_cpus"] = flags.parse_cpus(given("cpus"))
    if given("restart"):
        found["restart"] = flags.parse_restart(given("restart"))
    return Limits(**{name: value for name, value in found.items() if value is not None})

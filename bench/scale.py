"""Many containers at once: what the next start costs, what `ps` costs, and how much memory of ours each one takes.

UTSUWA_BENCH_CONTAINERS says how many sleep meanwhile, 500 unless given.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

from bench.engine import IMAGE, House, _memory, _until, house
from utsuwa.library.container import Container
from utsuwa.library.engine import Engine

COUNT = int(os.environ.get("UTSUWA_BENCH_CONTAINERS", "500"))
PROBES = 20
REST = 0.06
"""Seconds before each start: a start back to back with the last waits for the next monitor to be prepared."""


def _milliseconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1e3


def _start(engine: Engine) -> Container:
    return engine.start(IMAGE, ["sleep", "100000"], network="none")


def probes(home: House, engine: Engine) -> dict[str, float]:
    """Medians: create and start, remove, find by a part of the id, list, and the whole command `ps`."""
    taken: dict[str, list[float]] = {name: [] for name in ("create + start", "remove", "find", "list", "utsuwa ps")}
    for _ in range(PROBES):
        time.sleep(REST)
        made: list[Container] = []
        taken["create + start"].append(_milliseconds(lambda made=made: made.append(_start(engine))))
        taken["find"].append(_milliseconds(lambda made=made: engine.containers.get(made[0].id[:12])))
        taken["list"].append(_milliseconds(engine.containers.list))
        taken["utsuwa ps"].append(_milliseconds(lambda: home("ps", "-q")))
        taken["remove"].append(_milliseconds(lambda made=made: made[0].remove(force=True)))
    return {name: statistics.median(values) for name, values in taken.items()}


def memory(home: House, containers: list[Container]) -> tuple[float, int]:
    """Private kilobytes of all our processes for each container, once they are quiet; and how many processes."""
    _until(lambda: len(home.processes()) <= len(containers) + 8, 60)
    told = [_memory(pid) for pid in home.processes()]
    private = sum(each["Private_Clean"] + each["Private_Dirty"] for each in told)
    return private / max(1, len(containers)), len(told)


def main() -> None:
    """Print the table."""
    with house() as home:
        engine = Engine(home.paths.root, home.paths.run)
        home("run", "--rm", IMAGE, "true")
        alone = probes(home, engine)
        sleeping: list[Container] = []
        begin = time.perf_counter()
        try:
            while len(sleeping) < COUNT:
                sleeping.append(_start(engine))
            seconds = time.perf_counter() - begin
            kilobytes, processes = memory(home, sleeping)
            crowded = probes(home, engine)
        finally:
            for container in sleeping:
                container.remove(force=True)
    print(f"\n{COUNT} sleeping containers, started in {seconds:.1f} s; medians of {PROBES} [ms]")
    print(f"{'':20}{'alone':>10}{'crowded':>10}{'ratio':>8}")
    for name, first in alone.items():
        print(f"{name:20}{first:10.1f}{crowded[name]:10.1f}{crowded[name] / first:8.2f}")
    print(f"private memory of ours: {kilobytes:.0f} kB a container, in {processes} processes")


if __name__ == "__main__":
    main()

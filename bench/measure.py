"""Whole-process timing: candidates in turn (A B C A B C …), so that a drift of the machine's speed hits all alike."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Candidate:
    """One command to time; ``before`` and ``after`` are run around each round, outside the clock."""

    name: str
    argv: Sequence[str]
    before: Callable[[], object] = lambda: None
    after: Callable[[], object] = lambda: None


@dataclass
class Figures:
    """Milliseconds of wall clock, and of processor time of the waited tree."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median wall time in milliseconds."""
        return statistics.median(self.wall)

    @property
    def least(self) -> float:
        """The smallest wall time in milliseconds."""
        return min(self.wall)


def once(argv: Sequence[str]) -> tuple[float, float]:
    """Run a command to its end, output thrown away; wall and processor milliseconds. A failing command ends the run."""
    return at_once([argv])


def at_once(commands: Sequence[Sequence[str]]) -> tuple[float, float]:
    """Start all, and wait for all: wall milliseconds until the last has ended, processor milliseconds of one."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    actions = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1)]
    spent = 0.0
    begin = time.perf_counter()
    running = [os.posix_spawnp(argv[0], list(argv), os.environ, file_actions=actions) for argv in commands]
    for pid, argv in zip(running, commands, strict=True):
        _, status, usage = os.wait4(pid, 0)
        spent += usage.ru_utime + usage.ru_stime
        if status:
            raise SystemExit(f"bench: {' '.join(argv)} ended with {os.waitstatus_to_exitcode(status)}")
    wall = (time.perf_counter() - begin) * 1e3
    os.close(null)
    return wall, spent * 1e3 / len(commands)


def interleave(candidates: Sequence[Candidate], rounds: int, idle: float = 0.0) -> dict[str, Figures]:
    """Time all candidates in turn for some rounds, resting ``idle`` seconds before each run, after one warm-up each."""
    figures = {candidate.name: Figures() for candidate in candidates}
    for number in range(rounds + 1):
        for candidate in candidates:
            candidate.before()
            time.sleep(idle)
            wall, cpu = once(candidate.argv)
            candidate.after()
            if number:
                figures[candidate.name].wall.append(wall)
                figures[candidate.name].cpu.append(cpu)
    return figures


def table(title: str, figures: dict[str, Figures], base: str | None = None) -> None:
    """Print min, median, p90 and cpu of each, and the ratio of ``base`` (by default the first) to every other."""
    base = base or next(iter(figures))
    print(f"\n{title}\n{'':28}{'min':>8}{'median':>8}{'p90':>8}{'cpu':>8}   {base} ÷ this (median, min)")
    for name, figure in figures.items():
        p90 = sorted(figure.wall)[int(len(figure.wall) * 0.9)]
        ratio = f"{figures[base].median / figure.median:.2f}  {figures[base].least / figure.least:.2f}"
        cpu = statistics.median(figure.cpu) if figure.cpu else float("nan")
        print(
            f"{name:28}{figure.least:8.2f}{figure.median:8.2f}{p90:8.2f}{cpu:8.2f}   {ratio if name != base else ''}",
            flush=True,
        )

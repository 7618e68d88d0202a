"""Waiting for the end of a container's run, as an errand: with a deadline, and for thousands in one loop."""

from __future__ import annotations

import os
import time

from utsuwa.engine import events, recovery
from utsuwa.engine.errands import Pause
from utsuwa.engine.status import derive
from utsuwa.monitor.records import EXIT_FILE, Exit, is_locked, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.paths import Paths
    from utsuwa.engine.status import Status

    Settle = Callable[[Paths, ContainerRecord, Status], None]

CONDITIONS = ("not-running", "next-exit", "removed")
"""What can be waited for."""
_AGAIN, _LOOKS = 0.01, 1000
"""Seconds between looks at a monitor that has nothing left to do but to end, and how many there are at most."""
_AT_LEAST = 1.0
"""Seconds after which to look anyway."""


def ending(
    paths: Paths, record: ContainerRecord, condition: str = "not-running", settle: Settle = recovery.settle
) -> Generator[Pause, None, int]:
    """Until the container does not run, or its next end ("next-exit"), or it is "removed"; the exit code of its last
    run. The pause before a restart counts as an end. ``settle`` finishes what a killed monitor has left.
    """
    status = derive(paths, record)
    if condition == "not-running" and _is_over(status):
        settle(paths, record, status)
        return status.code
    directory = paths.container(record.id)
    before = _number(_last(directory))
    while True:
        last = _last(directory)  # before the status, which is of this run or of a later one
        status = derive(paths, record)
        if not os.path.exists(f"{directory}/container.json"):
            return (last.exitCode if last else 0) or _last_words(paths, record)
        over = condition == "not-running" and _is_over(status)
        if condition != "removed" and (over or _number(last) != before):
            if not (status.restarting or status.alive):
                yield from settled(paths, record, settle)
            return last.exitCode if last and _number(last) != before else status.code
        yield Pause(_keepers(status), directory, _AT_LEAST)


def settled(paths: Paths, record: ContainerRecord, settle: Settle = recovery.settle) -> Generator[Pause, None, None]:
    """Until the monitor of a process that has ended is gone; one whose monitor was killed is settled here."""
    for _ in range(_LOOKS):
        status = derive(paths, record)
        if not (status.kept or is_locked(paths.monitor(record.id))):
            settle(paths, record, status)
            return
        yield Pause(((status.monitor, status.monitor_start),) if status.monitor else (), seconds=_AGAIN)


def _is_over(status: Status) -> bool:
    return not (status.alive or status.kept)


def _keepers(status: Status) -> tuple[tuple[int, int], ...]:
    """Whose end would be news: the process, or the monitor of one that ends."""
    if status.pid:
        return ((status.pid, status.start_time),)
    return ((status.monitor, status.monitor_start),) if status.monitor and not status.restarting else ()


def _last(directory: str) -> Exit | None:
    """How the last run that is over has ended."""
    found = read(Exit, directory, EXIT_FILE)
    return found if isinstance(found, Exit) else None


def _number(ended: Exit | None) -> int:
    return ended.number if ended else 0


def _last_words(paths: Paths, record: ContainerRecord) -> int:
    """The exit code of a container that was removed at its end, as the journal has it."""
    told = events.events(paths.run, since=0, until=time.time())
    codes = [
        event["Actor"]["Attributes"]["exitCode"]
        for event in told
        if event["Actor"]["ID"] == record.id and event["Action"] == "die"
    ]
    return int(codes[-1]) if codes else 0

"""Waiting for the end of a container's run, as an errand: with a deadline, and for thousands in one loop."""

from __future__ import annotations

import os

from utsuwa.engine import recovery
from utsuwa.engine.errands import Pause
from utsuwa.engine.status import derive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.paths import Paths

_BEGINNING = 0.1
"""Seconds after which to look whether a container that was being created has got its process."""


def ending(paths: Paths, record: ContainerRecord) -> Generator[Pause, None, int]:
    """Until the container's run is over; its exit code."""
    while True:
        status = derive(paths, record)
        if not (status.alive or status.kept):
            recovery.settle(paths, record, status)
            return status.code
        if status.pid:
            yield Pause(((status.pid, status.start_time),))
        else:  # it begins, or its monitor is still to write how it ended
            yield Pause(((status.monitor, status.monitor_start),), seconds=_BEGINNING)
        if not os.path.exists(f"{paths.container(record.id)}/container.json"):
            return status.code

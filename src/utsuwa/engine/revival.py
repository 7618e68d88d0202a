"""Containers whose monitor was killed while their restart policy wanted them to run: who comes by next starts them."""

from __future__ import annotations

from utsuwa.errors import Error
from utsuwa.monitor.records import UNKNOWN_END
from utsuwa.monitor.restarts import FIRST_DELAY, LONGEST_DELAY, wants, was_stopped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.containers import Containers
    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.paths import Paths
    from utsuwa.engine.status import Status
    from utsuwa.monitor.records import Exit, Start


def is_interrupted(paths: Paths, record: ContainerRecord, status: Status) -> bool:
    """There was to be another run, and who was to see to it is dead: killed in the pause, or before the run's end.

    Not so after a reboot, which is the user's time to say what runs (``recover``), nor after a start that failed.
    """
    ended = status.exit
    if ended is None or status.alive or status.kept or not (ended.restarting or ended.error == UNKNOWN_END):
        return False
    return not was_stopped(paths.container(record.id)) and wants(record.restart, record.restartLimit, ended)


def continued(request: Start, ended: Exit) -> Start:
    """The request for the run after one that ``ended``, as its monitor would have made it: one restart more, and
    pauses as long as after so many short runs.
    """
    pause = min(FIRST_DELAY << min(ended.restarts, 16), LONGEST_DELAY)
    return request.replace(restarts=ended.restarts + 1, delay=pause)


def revive(containers: Containers, record: ContainerRecord) -> None:
    """Start it. Whatever keeps it from running is told when somebody asks for that; here they ask something else."""
    try:
        containers.start(record).close()
    except Error:  # also when somebody else was faster
        return

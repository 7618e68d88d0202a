"""The processes of a container as ps(1) of the host shows them."""

from __future__ import annotations

from utsuwa.engine import events
from utsuwa.engine.status import derive
from utsuwa.errors import FailedPrecondition

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.paths import Paths


def processes(
    paths: Paths, record: ContainerRecord, options: tuple[str, ...] = ()
) -> tuple[list[str], list[list[str]]]:
    """The titles, and a row for each process; ``options`` are those of ps(1), ``-ef`` unless given.

    Raises FailedPrecondition when the container does not run, or the options don't ask for the PID.
    """
    from utsuwa.runtime import ps
    from utsuwa.runtime.record import Store

    if not derive(paths, record).alive:
        raise FailedPrecondition(f"Container {record.id} is not running")
    lines = ps.table(ps.processes(Store(paths.runtime), record.id), list(options)).splitlines()
    events.note(paths, record, "top")
    titles = lines[0].split()
    # What comes last may hold spaces: a command with its arguments.
    return titles, [line.split(None, len(titles) - 1) for line in lines[1:]]

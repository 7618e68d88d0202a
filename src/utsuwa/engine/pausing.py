"""Containers that stand still: their cgroup is frozen, nothing in them runs, nothing is lost."""

from __future__ import annotations

from utsuwa.engine import events
from utsuwa.engine.status import PAUSED, derive
from utsuwa.errors import Conflict, FailedPrecondition
from utsuwa.runtime import pause as runtime
from utsuwa.runtime.record import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.paths import Paths


def pause(paths: Paths, record: ContainerRecord) -> None:
    """Freeze it. Raises FailedPrecondition when it does not run, Conflict when it is paused already."""
    status = derive(paths, record)
    if not status.alive:
        raise FailedPrecondition(f"Container {record.id} is not running")
    if status.name == PAUSED:
        raise Conflict(f"Container {record.id} is already paused")
    runtime.pause(Store(paths.runtime), record.id)
    events.note(paths, record, "pause")


def unpause(paths: Paths, record: ContainerRecord) -> None:
    """Let it go on. Raises FailedPrecondition unless it is paused."""
    status = derive(paths, record)
    if status.name != PAUSED:
        raise FailedPrecondition(f"Container {record.id} is not paused")
    runtime.resume(Store(paths.runtime), record.id)
    events.note(paths, record, "unpause")


def let_die(paths: Paths, record: ContainerRecord, number: int, stop_signal: int) -> None:
    """Thaw a paused container that was sent ``number`` to end it: it would be told when it is unpaused only.

    As with Docker that is the container's stop signal; any signal when nobody chose one (``stop_signal`` SIGTERM).
    """
    if number in (stop_signal, _SIGKILL) or stop_signal == _SIGTERM:
        try:
            unpause(paths, record)
        except FailedPrecondition:  # it has ended, or somebody let it go on
            pass


_SIGKILL, _SIGTERM = 9, 15

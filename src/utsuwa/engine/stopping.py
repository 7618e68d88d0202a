"""The end of containers on request: signals, stop, and waiting for it.

A file in the container's directory says that somebody wants it to be down; without it a restart policy would start it
again. It is written before the signal, and goes with the next start.
"""

from __future__ import annotations

import os

from utsuwa.engine import events, recovery
from utsuwa.engine.ending import ending
from utsuwa.engine.errands import drive
from utsuwa.engine.limits import stop_signal
from utsuwa.engine.status import PAUSED, derive
from utsuwa.errors import FailedPrecondition, NotFound
from utsuwa.monitor import client
from utsuwa.monitor.records import STOPPED_FILE, is_locked
from utsuwa.runtime.kill import kill as send
from utsuwa.runtime.process import await_end
from utsuwa.runtime.record import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.paths import Paths
    from utsuwa.engine.status import Status

_SIGKILL = 9
_PATIENCE = 10.0
"""Seconds for a killed process to go, and for its monitor to finish after it."""
_FOREVER = 1 << 20


def kill(paths: Paths, record: ContainerRecord, signal: str = "KILL") -> None:
    """Send a signal; SIGKILL and the container's stop signal also end restarting.

    Raises FailedPrecondition when there is no process, InvalidArgument for an unknown signal.
    """
    number = stop_signal(signal)
    status = derive(paths, record)
    if not (status.alive or status.restarting):
        raise FailedPrecondition(f"Container {record.id} is not running")
    if number in (_SIGKILL, stop_signal(record.stopSignal)):
        mark_stopped(paths, record)
    if status.restarting:
        await_exit(paths, record, status)
        return
    events.note(paths, record, "kill", signal=str(number))
    send(Store(paths.runtime), record.id, number)
    _let_die(paths, record, status, number)
    if number == _SIGKILL:
        await_exit(paths, record, status)


def stop(paths: Paths, record: ContainerRecord, timeout: int | None = None, signal: str | None = None) -> None:
    """Ask the container to end, and after ``timeout`` seconds (its own, or 10; -1: never) kill it."""
    number = stop_signal(signal or record.stopSignal)
    status = derive(paths, record)
    if not (status.alive or status.restarting):
        recovery.settle(paths, record, status)
        return
    mark_stopped(paths, record)
    seconds = record.stopTimeout if timeout is None else timeout
    if not status.restarting:
        _ask_then_kill(paths, record, status, number, seconds if seconds >= 0 else _FOREVER)
    await_exit(paths, record, status)
    events.note(paths, record, "stop")


def _ask_then_kill(paths: Paths, record: ContainerRecord, status: Status, number: int, seconds: float) -> None:
    store = Store(paths.runtime)
    try:
        events.note(paths, record, "kill", signal=str(number))
        send(store, record.id, number)
        _let_die(paths, record, status, number)
        if not await_end(status.pid, status.start_time, seconds):
            events.note(paths, record, "kill", signal=str(_SIGKILL))
            send(store, record.id, _SIGKILL)
    except (NotFound, FailedPrecondition):  # it ended by itself
        pass


def _let_die(paths: Paths, record: ContainerRecord, status: Status, number: int) -> None:
    if status.name == PAUSED:
        from utsuwa.engine.pausing import let_die

        let_die(paths, record, number, stop_signal(record.stopSignal))


def mark_stopped(paths: Paths, record: ContainerRecord) -> None:
    """From here on the monitor does not start it again, and a monitor that waits to do so hears of it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
    try:
        os.close(os.open(f"{paths.container(record.id)}/{STOPPED_FILE}", flags, 0o600))
    except FileNotFoundError:  # the container has just been removed
        return
    if record.restart:
        try:
            client.attach(paths.run, record.id).close()
        except FailedPrecondition:  # nobody waits
            return


def await_exit(paths: Paths, record: ContainerRecord, status: Status) -> None:
    """Wait for a process that was told to end, and for its monitor; one whose monitor is dead is settled here."""
    if status.pid:
        await_end(status.pid, status.start_time, _PATIENCE)
    for _ in range(int(_PATIENCE * 100)):
        current = derive(paths, record)
        if not (current.kept or is_locked(paths.monitor(record.id))):
            recovery.settle(paths, record, current)
            return
        await_end(current.monitor, current.monitor_start, 0.01)


def put_down(paths: Paths, record: ContainerRecord) -> None:
    """Kill the container, also one whose process is only about to be made."""
    status = derive(paths, record)
    for _ in range(int(_PATIENCE * 100)):
        if not (status.alive or status.kept):
            return
        try:
            kill(paths, record)
        except (FailedPrecondition, NotFound):
            await_end(status.monitor, status.monitor_start, 0.01)
        status = derive(paths, record)


def wait(paths: Paths, record: ContainerRecord, condition: str = "not-running") -> int:
    """Wait for what :mod:`utsuwa.engine.ending` calls so; the exit code of the container's last run."""
    return drive(ending(paths, record, condition))

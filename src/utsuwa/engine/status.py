"""What a container is doing, derived from what is true now: its process, its monitor's lock, its records.

Docker's words: created, running, paused, restarting, exited. ``removing`` and ``dead`` are never seen here.
"""

from __future__ import annotations

from utsuwa.cgroup.filesystem import is_frozen
from utsuwa.errors import Error
from utsuwa.monitor.records import EXIT_FILE, RUN_FILE, UNKNOWN_CODE, UNKNOWN_END, Exit, Run, is_locked, read
from utsuwa.runtime.process import start_time
from utsuwa.runtime.record import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.paths import Paths

CREATED, RUNNING, PAUSED, RESTARTING, EXITED = "created", "running", "paused", "restarting", "exited"
FAILED_STARTS = (125, 126, 127, 128)
"""Exit codes that stand for a process that could not be started."""
WENT_DOWN = "the host went down while it was running"


class Status:
    """``name`` is one of the words above. ``pid`` is 0 unless there is a process."""

    __slots__ = (
        "_kept",
        "exit",
        "health",
        "monitor",
        "monitor_start",
        "name",
        "pid",
        "restarts",
        "start_time",
        "started_at",
    )

    def __init__(self, name: str, run: Run | None, exit_record: Exit | None, kept: bool | str) -> None:
        """``kept`` is known, or the monitor's directory tells when somebody asks."""
        self.name, self.exit, self._kept = name, exit_record, kept
        self.pid = self.start_time = 0
        self.monitor = run.monitor if run else 0
        self.monitor_start = run.monitorStart if run else 0
        self.restarts = run.restarts if run else (exit_record.restarts if exit_record else 0)
        self.health = ""
        """What the checks of a container with a process say: starting, healthy, unhealthy, or "" without any."""
        self.started_at = run.startedAt if run else (exit_record.startedAt if exit_record else "")

    @property
    def alive(self) -> bool:
        """There is a process."""
        return self.name in (RUNNING, PAUSED)

    @property
    def restarting(self) -> bool:
        """There is no process at present, but there will be another; Docker counts such a container as running."""
        return self.name == RESTARTING

    @property
    def kept(self) -> bool:
        """A monitor is alive, or was when this was asked first."""
        if isinstance(self._kept, str):
            self._kept = is_locked(self._kept)
        return self._kept

    @property
    def code(self) -> int:
        """The exit code of the last run, 0 when there is none."""
        return self.exit.exitCode if self.exit else 0


def derive(paths: Paths, record: ContainerRecord) -> Status:
    """The status of a container."""
    directory = paths.monitor(record.id)
    run: Run | None = read(Run, directory, RUN_FILE)  # type: ignore[assignment]
    exit_record = _exit(paths, record)
    if run is None:
        return _without_run(record, exit_record)
    if exit_record is not None and exit_record.number == run.number:
        if exit_record.restarting and is_locked(directory):
            return Status(RESTARTING, run, exit_record, True)
        return Status(_ended(record, exit_record), run, exit_record, False)
    status = Status(RUNNING, run, None, directory)
    if _find_process(paths, record, status):
        if record.health:
            status.health = _health(paths, record, run)
        return status
    if status.kept:  # it is being created, or its monitor is about to write how it ended
        return status
    ended = _exit(paths, record)
    if ended is not None and ended.number == run.number:  # it wrote that since we looked, and was gone when we asked
        return derive(paths, record)
    return _after_a_crash(run)


def _ended(record: ContainerRecord, exit_record: Exit) -> str:
    """A container whose process never began is still created, whatever it was that failed: so Docker has it."""
    never_began = exit_record.error and not exit_record.startedAt and exit_record.exitCode in FAILED_STARTS
    return CREATED if never_began and exit_record.number <= 1 else EXITED


def _after_a_crash(run: Run) -> Status:
    lost = Exit(
        number=run.number, exitCode=UNKNOWN_CODE, error=UNKNOWN_END, startedAt=run.startedAt, restarts=run.restarts
    )
    return Status(EXITED, run, lost, False)


def _without_run(record: ContainerRecord, exit_record: Exit | None) -> Status:
    last = exit_record is not None and exit_record.number >= record.runs and not exit_record.restarting
    if exit_record is not None and (last or being_started(record)):
        return Status(_ended(record, exit_record), None, exit_record, False)
    if record.runs and not being_started(record):
        number = max(record.runs, exit_record.number + 1 if exit_record else 0)
        lost = Exit(number=number, exitCode=UNKNOWN_CODE, error=WENT_DOWN)
        return Status(EXITED, None, lost, False)
    return Status(CREATED, None, None, False)


def being_started(record: ContainerRecord) -> bool:
    """The process that made the container, or started it last, is alive: perhaps the monitor has just not begun."""
    return bool(record.maker) and start_time(record.maker) == record.makerStart


def _health(paths: Paths, record: ContainerRecord, run: Run) -> str:
    from utsuwa.monitor.health import STARTING, read_health

    found = read_health(paths.container(record.id))
    return found.Status if found and found.number == run.number else STARTING


def _exit(paths: Paths, record: ContainerRecord) -> Exit | None:
    try:
        return read(Exit, paths.container(record.id), EXIT_FILE)  # type: ignore[return-value]
    except Error:
        return None


def _find_process(paths: Paths, record: ContainerRecord, status: Status) -> bool:
    """Fill in the container's process; False when there is none that lives."""
    try:
        found = Store(paths.runtime).glance(record.id)
        if found is None:
            return False
        status.pid, status.start_time, cgroup = found
        if cgroup is not None and is_frozen(cgroup):
            status.name = PAUSED
    except Error:
        return False
    return True

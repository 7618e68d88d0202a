"""Until a container is ready: it has printed something, listens on a port, is healthy, or answers a question well."""

from __future__ import annotations

from utsuwa.engine import logs
from utsuwa.engine.containers import log_name
from utsuwa.engine.errands import Pause
from utsuwa.engine.logs import Line
from utsuwa.engine.status import derive
from utsuwa.errors import FailedPrecondition, Unsupported
from utsuwa.linux.sockets import listening
from utsuwa.monitor.health import HEALTHY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.paths import Paths
    from utsuwa.engine.status import Status

_QUICK, _SLOW = 0.005, 0.1
"""Seconds between looks at what the kernel has no event for: at first, and after a while."""
_LAST_WORDS = 5


class Readiness:
    """Errands for readers of logs and for callers who wait until a container is of use."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def follow(self, record: ContainerRecord, tail: int | None = None) -> Generator[Line | Pause, None, None]:
        """The lines of the log, and those to come, until the container's run is over. Raises Unsupported without a
        log.
        """
        name = log_name(record)
        if not name:
            raise Unsupported(f"container {record.name} has no log that can be read (log driver {record.logDriver})")
        directory = self._paths.container(record.id)
        status = derive(self._paths, record)

        def goes_on() -> bool:
            return status.alive or status.kept

        for line in logs.following(directory, name, tail, goes_on):
            if line:
                yield line
                continue
            status = derive(self._paths, record)
            if goes_on():
                yield Pause(_keepers(status), directory)

    def printed(self, record: ContainerRecord, matches: Callable[[str], bool]) -> Generator[Pause, None, str]:
        """Until a line of the log matches; the line. What was printed before counts, too."""
        for found in self.follow(record):
            if isinstance(found, Pause):
                yield found
            elif matches(found.text):
                return found.text
        raise self._ended(record)

    def listens(self, record: ContainerRecord, port: int) -> Generator[Pause, None, None]:
        """Until somebody in the container's network listens on a TCP port. The kernel tells nobody of that: we look."""
        return self.answers(record, lambda status: port in listening(status.pid))

    def recovers(self, record: ContainerRecord) -> Generator[Pause, None, None]:
        """Until the container's checks find it healthy. Raises FailedPrecondition when it has none."""
        if not record.health:
            raise FailedPrecondition(f"container {record.name} has no healthcheck")
        while True:
            status = derive(self._paths, record)
            if not (status.alive or status.kept):
                raise self._ended(record)
            if status.health == HEALTHY:
                return
            yield Pause(_keepers(status), self._paths.container(record.id))

    def answers(self, record: ContainerRecord, ask: Callable[[Status], bool]) -> Generator[Pause, None, None]:
        """Until ``ask``, called again and again with the status of the running container, says yes."""
        seconds = _QUICK
        while True:
            status = derive(self._paths, record)
            if not (status.alive or status.kept):
                raise self._ended(record)
            if status.alive and ask(status):
                return
            yield Pause(_keepers(status), seconds=seconds)
            seconds = min(seconds * 1.5, _SLOW)

    def _ended(self, record: ContainerRecord) -> FailedPrecondition:
        """It will not be ready any more; with its last words, which mostly say why."""
        status = derive(self._paths, record)
        message = f"container {record.name} is {status.name} (exit code {status.code}) and was not ready before"
        if log_name(record):
            lines = logs.read(self._paths.container(record.id), log_name(record), _LAST_WORDS)
            words = "".join(line.text for line in lines).strip()
            message += f", its last words: {words}" if words else ""
        return FailedPrecondition(message)


def _keepers(status: Status) -> tuple[tuple[int, int], ...]:
    """The process whose end ends the writing of the log: the monitor where there is one."""
    if status.kept and status.monitor:
        return ((status.monitor, status.monitor_start),)
    return ((status.pid, status.start_time),) if status.pid else ()

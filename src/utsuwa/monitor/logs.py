"""Where a container's output goes besides its clients: the log drivers."""

from __future__ import annotations

from utsuwa.monitor.jsonlog import JsonLog
from utsuwa.monitor.logfile import LogFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from utsuwa.monitor.records import Start
else:
    Protocol = object


class Log(Protocol):
    """What a relay writes to."""

    @property
    def waits(self) -> bool:
        """Some line has no end yet."""
        raise NotImplementedError

    @property
    def lost(self) -> int:
        """Bytes that could not be written."""
        raise NotImplementedError

    def write(self, stream: str, data: bytes) -> None:
        """Take output of ``stream`` (stdout or stderr)."""
        raise NotImplementedError

    def close(self) -> None:
        """Write what has no newline yet, and close."""
        raise NotImplementedError


def open_log(start: Start, directory: int) -> Log | None:
    """The log of a container with the descriptor of its directory; None for one that keeps none."""
    if start.logDriver == "journald":
        from utsuwa.monitor.journallog import JournalLog

        return JournalLog(start.logAttributes)
    if not start.log:
        return None
    file = LogFile(directory, start.log, start.logLimit, start.logFiles, start.logCompress)
    if start.logDriver == "local":
        from utsuwa.monitor.locallog import LocalLog

        return LocalLog(file)
    return JsonLog(file, start.logAttributes)

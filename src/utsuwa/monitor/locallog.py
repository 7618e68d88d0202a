"""The log of the driver "local": what was printed as it is, and a few bytes around it.

A record is ``length of text u32, stream u8 (1 stdout, 2 stderr), 3 zeros, nanoseconds since 1970 u64, text, length of
text u32``, little endian; the last makes it possible to read backwards. The text is what was read at one time: whole
lines, or a piece of one that is very long or has no end.
"""

from __future__ import annotations

import time
from struct import Struct

HEAD, TAIL = Struct("<IB3xQ"), Struct("<I")
NUMBERS = {"stdout": 1, "stderr": 2}
LONGEST = 1 << 20
"""No text is longer, in bytes."""
_SPLIT = 16384

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.monitor.logfile import LogFile


class LocalLog:
    """One container's log: complete lines are written at once, the rest of a line waits for its end."""

    __slots__ = ("_file", "_now", "_rest")

    def __init__(self, file: LogFile, now: Callable[[], int] = time.time_ns) -> None:
        self._file, self._now = file, now
        self._rest: dict[str, bytes] = {}

    def write(self, stream: str, data: bytes) -> None:
        """Take output of ``stream`` (stdout or stderr)."""
        rest = self._rest.get(stream)
        if rest:
            data = rest + data
        end = data.rfind(b"\n") + 1
        if len(data) - end >= _SPLIT:
            end = len(data)
        if end:
            self._append(stream, data[:end])
        self._rest[stream] = data[end:]

    @property
    def lost(self) -> int:
        """Bytes that could not be written."""
        return self._file.lost

    @property
    def waits(self) -> bool:
        """Some line has no end yet."""
        return any(self._rest.values())

    def close(self) -> None:
        """Write what has no newline yet, and close the file."""
        for stream, rest in self._rest.items():
            if rest:
                self._append(stream, rest)
        self._rest = {}
        self._file.close()

    def _append(self, stream: str, text: bytes) -> None:
        if self._file.full:
            self._file.rotate()
        head = HEAD.pack(len(text), NUMBERS[stream], self._now())
        self._file.put(head + text + TAIL.pack(len(text)))

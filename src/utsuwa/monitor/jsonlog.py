"""The log of a container in Docker's json-file format: ``{"log":"…\\n","stream":"stdout","time":"RFC3339Nano"}`` a
line.

A line longer than 16 KiB becomes several records, of which only the last has the newline (moby,
daemon/logger/copier.go). Speed matters here: a record that takes a Python loop per line would slow a chatty container
down, so a whole chunk is escaped by a handful of calls on bytes, and its newlines are replaced by the end of one record
and the start of the next.
"""

from __future__ import annotations

import time
from _json import encode_basestring

from utsuwa.spec.codec import dumps

SPLIT = 16384
"""Docker's longest record, in bytes of output."""
_SIMPLE = ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\t", b"\\t"), (b"\r", b"\\r"))
"""What text is full of, and how JSON has it; the backslash first, because the others bring some."""
_STRANGE = bytes([byte < 32 and byte not in b"\n\t\r" for byte in range(256)])
"""Tells the other control characters from everything else, for bytes.translate."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from utsuwa.monitor.logfile import LogFile


class Clock:
    """RFC 3339 with nanoseconds and without trailing zeros, as Go prints it; the part before the point is kept for a
    second.
    """

    __slots__ = ("_prefix", "_second")

    def __init__(self) -> None:
        self._second = -1
        self._prefix = ""

    def text(self, nanoseconds: int) -> str:
        """``nanoseconds`` since 1970 in UTC."""
        second, fraction = divmod(nanoseconds, 1_000_000_000)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._prefix}.{fraction:09}".rstrip("0").rstrip(".") + "Z"


class JsonLog:
    """One container's log file: complete lines are written at once, the rest of a line waits for its end."""

    __slots__ = ("_attributes", "_clock", "_file", "_now", "_rest")

    def __init__(
        self, file: LogFile, attributes: Mapping[str, str] | None = None, now: Callable[[], int] = time.time_ns
    ) -> None:
        """Append to ``file``; ``attributes`` stand in every record."""
        self._file = file
        self._attributes = f'"attrs":{dumps(dict(attributes))},' if attributes else ""
        self._now, self._clock = now, Clock()
        self._rest: dict[str, bytes] = {}

    def write(self, stream: str, data: bytes) -> None:
        """Take output of ``stream`` (stdout or stderr)."""
        rest = self._rest.get(stream)
        if rest:
            data = rest + data
        end = data.rfind(b"\n") + 1
        tail = data[end:] if end else data
        records = self._records(stream, data[:end], True) if end else b""
        if len(tail) >= SPLIT:
            cut = len(tail) - len(tail) % SPLIT
            records += self._records(stream, tail[:cut], False)
            tail = tail[cut:]
        self._rest[stream] = tail
        if records:
            self._append(records)

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
                self._append(self._records(stream, rest, False))
        self._rest = {}
        self._file.close()

    def _records(self, stream: str, data: bytes, whole: bool) -> bytes:
        """The records of ``data``, which ends with a newline if ``whole``, and holds none otherwise."""
        end = f'","stream":"{stream}",{self._attributes}"time":"{self._clock.text(self._now())}"}}\n'
        if not whole or not _is_plain(data) or _has_long_line(data):
            return "".join(
                ['{"log":' + encode_basestring(part.decode("utf-8", "replace"))[:-1] + end for part in _pieces(data)]
            ).encode()
        for byte, escaped in _SIMPLE:
            data = data.replace(byte, escaped)
        border = f'\\n{end}{{"log":"'.encode()
        return b'{"log":"' + data.replace(b"\n", border)[: -len(b'{"log":"')]

    def _append(self, data: bytes) -> None:
        file = self._file
        if file.limit and file.size + len(data) > file.limit:
            for record in data.splitlines(keepends=True):
                if file.full:
                    file.rotate()
                file.put(record)
        else:
            file.put(data)


def _is_plain(data: bytes) -> bool:
    """UTF-8 without control characters but those of text."""
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            return False
    return b"\1" not in data.translate(_STRANGE)


def _has_long_line(data: bytes) -> bool:
    """Some line of ``data`` is longer than a record may be (looked for in steps of SPLIT bytes, not line by line)."""
    at = 0
    while len(data) - at > SPLIT:
        newline = data.rfind(b"\n", at, at + SPLIT)
        if newline < 0:
            return True
        at = newline + 1
    return False


def _pieces(data: bytes) -> list[bytes]:
    """Lines with their newlines, long ones cut into pieces of SPLIT bytes."""
    pieces = []
    for line in data.split(b"\n"):
        line += b"\n"
        pieces.extend([line[at : at + SPLIT] for at in range(0, len(line), SPLIT)])
    last = pieces.pop()
    if last != b"\n":
        pieces.append(last[:-1])
    return pieces

"""The log driver "journald": every line a message to systemd's journal, in its native protocol.

A datagram of fields, ``NAME=value`` and a newline, or, for values with newlines, ``NAME``, a newline, the length as u64
and the value (systemd, "Native Journal Protocol"). The fields are Docker's.
"""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, socket
from select import POLLOUT, poll

SOCKET = "/run/systemd/journal/socket"
_SPLIT = 16384
_PRIORITIES = {"stdout": b"6", "stderr": b"3"}
_PATIENCE = 1000
"""Milliseconds for journald to take a message, after which the message is lost."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class JournalLog:
    """One container's lines."""

    __slots__ = ("_fields", "_rest", "_socket", "lost")

    def __init__(self, fields: Mapping[str, str], address: str = SOCKET) -> None:
        """``fields`` go with every message. Without a journal all is lost, and counted, but the container runs."""
        self._fields = b"".join([_field(name.encode(), value.encode()) for name, value in fields.items()])
        self._rest: dict[str, bytes] = {}
        self.lost = 0
        """Bytes that nobody took."""
        self._socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
        try:
            self._socket.connect(address)
        except OSError:
            return

    def write(self, stream: str, data: bytes) -> None:
        """Take output of ``stream`` (stdout or stderr)."""
        *lines, rest = (self._rest.get(stream, b"") + data).split(b"\n")
        for line in lines:
            self._send(stream, line)
        while len(rest) >= _SPLIT:
            self._send(stream, rest[:_SPLIT], partial=True)
            rest = rest[_SPLIT:]
        self._rest[stream] = rest

    @property
    def waits(self) -> bool:
        """Some line has no end yet."""
        return any(self._rest.values())

    def close(self) -> None:
        """Send what has no newline yet, and hang up."""
        for stream, rest in self._rest.items():
            if rest:
                self._send(stream, rest, partial=True)
        self._rest = {}
        self._socket.close()

    def _send(self, stream: str, line: bytes, partial: bool = False) -> None:
        message = self._fields + b"PRIORITY=" + _PRIORITIES[stream] + b"\n" + _field(b"MESSAGE", line)
        if partial:
            message += b"CONTAINER_PARTIAL_MESSAGE=true\n"
        for _ in range(2):
            try:
                self._socket.send(message)
            except BlockingIOError:
                waiting = poll()
                waiting.register(self._socket.fileno(), POLLOUT)
                waiting.poll(_PATIENCE)
                continue
            except OSError:
                break
            return
        self.lost += len(line)


def _field(name: bytes, value: bytes) -> bytes:
    if b"\n" in value:
        return name + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
    return name + b"=" + value + b"\n"

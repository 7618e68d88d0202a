"""A bit of systemd behind a socket: it answers as org.freedesktop.systemd1 does, and keeps what it was told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from utsuwa.cgroup.systemd import wire

_JOB = "/org/freedesktop/systemd1/job/7"


class Systemd:
    """Serves one connection after the other at ``path`` until it is closed.

    ``answers`` are functions by method name, called with the method's values, that give what is returned: (signature,
    values) or (error name, text). ``calls`` are the methods that were called, with their values. ``result`` is how jobs
    end.
    """

    def __init__(self, path: Path) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.answers: dict[str, Callable[..., tuple[str, Any]]] = {}
        self.result = "done"
        self.lines: list[str] = []
        self.refuses = False
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Hang up for good."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def called(self, method: str) -> tuple[Any, ...]:
        """The values of the last call of ``method``."""
        return [values for name, values in self.calls if name == method][-1]

    def methods(self) -> list[str]:
        """The names of the methods that were called of systemd itself."""
        return [name for name, _ in self.calls if name not in ("Hello", "AddMatch", "Subscribe")]

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb", buffering=0) as stream:
                if self._authenticate(stream):
                    self._converse(stream)

    def _authenticate(self, stream: Any) -> bool:
        stream.read(1)
        while (line := stream.readline()) not in (b"BEGIN\r\n", b""):
            self.lines.append(line.decode().strip())
            if self.refuses:
                stream.write(b"REJECTED EXTERNAL\r\n")
                return False
            stream.write(b"DATA\r\n" if line.startswith(b"AUTH") else b"OK 1234deadbeef\r\n")
        return True

    def _converse(self, stream: Any) -> None:
        while head := _exactly(stream, wire.FIXED_HEADER):
            message = wire.parse(head + _exactly(stream, wire.size(head) - len(head)))
            self.calls.append((message.member, message.body))
            if head[2] & wire.NO_REPLY_EXPECTED:
                continue
            signature, values = self._answer(message)
            if "." in signature:
                stream.write(outgoing(wire.ERROR, "s", (values,), reply_to=message.serial, error=signature))
                continue
            stream.write(outgoing(wire.REPLY, signature, values, reply_to=message.serial))
            if signature == "o":
                done = (7, _JOB, message.body[0], self.result)
                stream.write(outgoing(wire.SIGNAL, "uoss", (6, f"{_JOB}/other", "x", "failed"), member="JobRemoved"))
                stream.write(outgoing(wire.SIGNAL, "uoss", done, member="JobRemoved"))

    def _answer(self, message: wire.Message) -> tuple[str, Any]:
        if message.member in self.answers:
            return self.answers[message.member](*message.body)
        if message.member == "Hello":
            return "s", (":1.5",)
        return ("o", (_JOB,)) if message.member in ("StartTransientUnit", "StopUnit") else ("", ())


def outgoing(kind: int, signature: str, values: tuple[Any, ...], **fields: Any) -> bytes:
    """A message that is no call; ``fields``: reply_to, error, member."""
    known = {"member": (3, "s"), "error": (4, "s"), "reply_to": (5, "u")}
    header = [(known[name][0], (known[name][1], value)) for name, value in fields.items()]
    if kind == wire.SIGNAL:
        header += [(1, ("o", "/org/freedesktop/systemd1")), (2, ("s", "org.freedesktop.systemd1.Manager"))]
    header.append((8, ("g", signature)))
    body = wire.pack(signature, values)
    head = wire.pack("yyyyuua(yv)", (ord("l"), kind, 1, 1, len(body), 99, header))
    return head + bytes(-len(head) % 8) + body


def _exactly(stream: Any, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := stream.read(size - len(data))):
        data += more
    return data

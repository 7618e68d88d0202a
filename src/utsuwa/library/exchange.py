"""What is said on the connection to one process, both ways, without any I/O: each face of the library moves bytes."""

from __future__ import annotations

from utsuwa.errors import Unavailable
from utsuwa.library.output import Chunk, Output
from utsuwa.monitor import frames
from utsuwa.runtime.process import signal_number
from utsuwa.spec.codec import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.monitor.client import Connection

_STREAMS = {frames.STDOUT: "stdout", frames.STDERR: "stderr"}
_PIECE = 1 << 15
"""Bytes of input a frame."""


class Exchange:
    """The state of one conversation. ``outgoing`` is still to be written; ``exit_code`` is None until the end."""

    def __init__(self, connection: Connection, command: tuple[str, ...]) -> None:
        self.connection, self.command = connection, command
        self.exit_code: int | None = None
        self.outgoing = bytearray()
        self._chunks: list[Chunk] = []
        self._collect(connection.pending())

    def feed(self, data: bytes) -> None:
        """Take what was read from the connection; raises Unavailable for its end before that of the process."""
        if not data and self.exit_code is None:
            raise Unavailable("the monitor of the process was killed: how the process ends will not be known")
        self._collect(self.connection.feed(data))

    def take(self) -> list[Chunk]:
        """The output that has arrived since the last time."""
        chunks, self._chunks = self._chunks, []
        return chunks

    def output(self, chunks: list[Chunk]) -> Output:
        """All of it, after the end."""
        assert self.exit_code is not None
        joined = {stream: b"".join([each.data for each in chunks if each.stream == stream]) for stream in _SIDES}
        return Output(command=self.command, exit_code=self.exit_code, **joined)

    def write(self, data: bytes) -> None:
        """Say what the process is to read."""
        for at in range(0, len(data), _PIECE):
            self.outgoing += frames.pack(frames.STDIN, data[at : at + _PIECE])

    def close_stdin(self) -> None:
        """Say that there is no more to read."""
        self.outgoing += frames.pack(frames.CLOSE_STDIN)

    def resize(self, rows: int, columns: int) -> None:
        """Give the terminal a size."""
        self.outgoing += frames.pack_size(rows, columns)

    def signal(self, name: str) -> None:
        """Have a signal sent; raises InvalidArgument for an unknown one."""
        self.outgoing += frames.pack(frames.SIGNAL, bytes((signal_number(name),)))

    def sent(self, count: int) -> None:
        """Some of ``outgoing`` has been written; all of it is given up when the other side does not read any more."""
        del self.outgoing[:count]

    def _collect(self, arrived: list[tuple[int, bytes]]) -> None:
        for kind, payload in arrived:
            if kind in _STREAMS:
                self._chunks.append(Chunk(_STREAMS[kind], payload))
            elif kind == frames.EXITED:
                self.exit_code = int(parse(payload)["exitCode"])


_SIDES = ("stdout", "stderr")

"""What a program and its envoy say to each other: frames on a stream socket, of pickled values and of descriptors.

The two are processes of one user, one made by the other, and run the same code: neither has anything to fear from what
the other pickles. What can't be copied is named instead: the engine's services, which both have, the connection to a
container's process, which travels as a descriptor, functions to be called back, and chunks that are still to come.
"""

from __future__ import annotations

import array
import io
import pickle
import socket
import struct

from utsuwa.library.services import Services
from utsuwa.monitor.client import Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

CALL, CHUNK, THANKS, RESULT, ERROR, ITEM, TELL = range(7)
"""From the program: what to do; bytes that it gives along, the last ones empty; that it has what was made. From the
envoy: the end, good or bad; one of the things that make up the result; arguments for a function of the program's.
"""
_HEADER = struct.Struct("<BI")
_SPACE = socket.CMSG_SPACE(16 * array.array("i").itemsize)


class Chunks:
    """Pieces of bytes that the program gives along while the envoy works."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces


class Wire:
    """The connection of one call. ``functions`` are those that are called in the program; ``chunks`` what is still to
    be sent, ``lent`` the connections that were.
    """

    def __init__(self, stream: socket.socket, services: Services) -> None:
        self._stream, self._services = stream, services
        self.functions: list[Callable[..., object]] = []
        self.chunks: Chunks | None = None
        self.lent: list[Connection] = []

    def send(self, kind: int, value: object = None) -> None:
        """Say something. Raises OSError when nobody listens any more, and what can't be pickled raises."""
        packed, rights = io.BytesIO(), array.array("i")
        _Packer(packed, self, rights).dump(value)
        self._write(kind, packed.getvalue(), rights)

    def thank(self) -> None:
        """Say that the result has come; who has nothing to take back does not wait for that."""
        try:
            self._write(THANKS, b"", array.array("i"))
        except OSError:
            return

    def is_thanked(self) -> bool:
        """Whether the program has taken the result; False when it had given up."""
        try:
            return self._read()[0] == THANKS
        except EOFError:
            return False

    def await_end(self) -> None:
        """Give up, and wait until what was made has been taken back."""
        try:
            self._stream.shutdown(socket.SHUT_WR)
            while True:
                self._exactly(1)
        except (EOFError, OSError):
            return

    def send_chunk(self, data: bytes) -> None:
        """Give bytes along. Raises OSError."""
        self._write(CHUNK, data, array.array("i"))

    def receive(self) -> tuple[int, Any]:
        """What the other says next. Raises EOFError when it has gone."""
        kind, data, rights = self._read()
        return kind, data if kind == CHUNK else _Unpacker(io.BytesIO(data), self, rights).load()

    def close(self) -> None:
        """Hang up."""
        self._stream.close()

    def refer(self, value: object, rights: array.array[int]) -> tuple[object, ...] | None:
        """What stands for a value that can't be copied; None for others."""
        if isinstance(value, Services):
            return ("services",)
        if isinstance(value, Connection):
            self.lent.append(value)
            rights.append(value.fd)
            return ("connection", len(rights) - 1, value.unread())
        if isinstance(value, Chunks):
            self.chunks = value
            return ("chunks",)
        number = next((at for at, each in enumerate(self.functions) if each is value), None)
        return None if number is None else ("function", number)

    def resolve(self, reference: tuple[Any, ...], rights: array.array[int]) -> object:
        """What the other side's reference stands for here."""
        kind, *values = reference
        if kind == "services":
            return self._services
        if kind == "connection":
            return Connection(rights[values[0]], values[1])
        return Chunks(self._coming()) if kind == "chunks" else self._teller(values[0])

    def _coming(self) -> Iterator[bytes]:
        while piece := self.receive()[1]:
            yield piece

    def _teller(self, number: int) -> Callable[..., None]:
        return lambda *arguments: self.send(TELL, (number, arguments))

    def _write(self, kind: int, data: bytes, rights: array.array[int]) -> None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else []
        self._stream.sendmsg([_HEADER.pack(kind, len(data))], ancillary)
        self._stream.sendall(data)

    def _read(self) -> tuple[int, bytes, array.array[int]]:
        rights = array.array("i")
        try:
            head, ancillary, _flags, _address = self._stream.recvmsg(_HEADER.size, _SPACE, socket.MSG_CMSG_CLOEXEC)
            for _level, _kind, data in ancillary:
                rights.frombytes(data)
            kind, length = _HEADER.unpack(head + self._exactly(_HEADER.size - len(head)))
            return kind, self._exactly(length), rights
        except ConnectionResetError:
            raise EOFError from None

    def _exactly(self, length: int) -> bytes:
        pieces = []
        while length:
            piece = self._stream.recv(min(length, 1 << 20))
            if not piece:
                raise EOFError
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)


class _Packer(pickle.Pickler):
    def __init__(self, file: io.BytesIO, wire: Wire, rights: array.array[int]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._wire, self._rights = wire, rights

    def persistent_id(self, value: object) -> object:
        return self._wire.refer(value, self._rights)


class _Unpacker(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, wire: Wire, rights: array.array[int]) -> None:
        super().__init__(file)
        self._wire, self._rights = wire, rights

    def persistent_load(self, reference: Any) -> object:
        return self._wire.resolve(reference, self._rights)

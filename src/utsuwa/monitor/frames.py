"""What a client and a monitor say to each other: Docker's 8-byte stream frames, and a few kinds of our own.

A frame is ``[kind, 0, 0, 0, length as big endian u32]`` and ``length`` bytes (Docker Engine API, "attach", stream
format), so the output of a container can be handed to a Docker client as it is.
"""

from __future__ import annotations

import struct

STDIN, STDOUT, STDERR = 0, 1, 2
RESIZE, CLOSE_STDIN, SIGNAL = 16, 17, 18
"""From the client: ``>HH`` rows and columns; nothing; one byte with the signal's number."""
ACCEPTED = 31
"""From the monitor, empty: it has the request, and nobody else will take it."""
STARTED, FAILED, EXITED = 32, 33, 34
"""From the monitor, JSON: ``{"pid"}``; ``{"kind", "message", "code"}``; ``{"exitCode", …}`` after the last byte of
output.
"""
START, EXECUTE, RESUME = 48, 49, 50
"""To the forkserver, JSON: ``records.Start`` and ``records.Execute``; from a guard, empty, with its socket."""
LIMIT = 1 << 20
"""No frame is longer, in bytes: a peer that announces more is not one of ours."""

_HEADER = struct.Struct(">BxxxI")
_SIZE = struct.Struct(">HH")


def header(kind: int, length: int) -> bytes:
    """The 8 bytes before ``length`` bytes of payload."""
    return _HEADER.pack(kind, length)


def pack(kind: int, payload: bytes = b"") -> bytes:
    """One whole frame."""
    return _HEADER.pack(kind, len(payload)) + payload


def pack_size(rows: int, columns: int) -> bytes:
    """A RESIZE frame."""
    return pack(RESIZE, _SIZE.pack(rows, columns))


def unpack_size(payload: bytes) -> tuple[int, int]:
    """Rows and columns of a RESIZE frame; ValueError when it is not one."""
    if len(payload) != _SIZE.size:
        raise ValueError(f"a resize frame has {_SIZE.size} bytes, this one {len(payload)}")
    rows, columns = _SIZE.unpack(payload)
    return rows, columns


class Decoder:
    """Puts frames together from whatever pieces a stream socket delivers."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    @property
    def rest(self) -> bytes:
        """The beginning of a frame."""
        return self._buffer

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The frames that are complete now, as (kind, payload); ValueError for one longer than LIMIT."""
        buffer = self._buffer + data if self._buffer else data
        frames, at = [], 0
        while len(buffer) - at >= 8:
            kind, length = _HEADER.unpack_from(buffer, at)
            if length > LIMIT:
                raise ValueError(f"a frame of {length} bytes")
            end = at + 8 + length
            if len(buffer) < end:
                break
            frames.append((kind, buffer[at + 8 : end]))
            at = end
        self._buffer = buffer[at:]
        return frames

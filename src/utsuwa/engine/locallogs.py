"""The format of logs of the driver "local", see :mod:`utsuwa.monitor.locallog`."""

from __future__ import annotations

import os

from utsuwa.engine.logs import Line
from utsuwa.monitor.jsonlog import Clock
from utsuwa.monitor.locallog import HEAD, LONGEST, NUMBERS, TAIL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

_AROUND = HEAD.size + TAIL.size
_STREAMS = {number: name for name, number in NUMBERS.items()}


class Local:
    """Records with their length at both ends."""

    def __init__(self) -> None:
        self._clock = Clock()

    def cut(self, data: bytes) -> tuple[list[Line], bytes]:
        """See Format."""
        lines: list[Line] = []
        at = 0
        while len(data) - at >= HEAD.size:
            length, stream, when = HEAD.unpack_from(data, at)
            if length > LONGEST or stream not in _STREAMS:  # a monitor was killed in the middle of a record
                return lines, b""
            if len(data) - at < length + _AROUND:
                break
            text = data[at + HEAD.size : at + HEAD.size + length].decode("utf-8", "replace")
            stamp = self._clock.text(when)
            lines += [Line(piece, _STREAMS[stream], stamp) for piece in _pieces(text)]
            at += length + _AROUND
        return lines, data[at:]

    def last(self, file: BinaryIO, count: int, end: int) -> list[Line]:
        """See Format."""
        found: list[Line] = []
        while end >= _AROUND and len(found) < count:
            start = self._start(file, end)
            if start < 0:
                break
            file.seek(start)
            found = self.cut(file.read(end - start))[0] + found
            end = start
        return found[len(found) - count :] if len(found) > count else found

    def _start(self, file: BinaryIO, end: int) -> int:
        """Where the record begins that ends there."""
        file.seek(end - TAIL.size)
        (length,) = TAIL.unpack(file.read(TAIL.size))
        return int(end - length - _AROUND)

    def end(self, file: BinaryIO) -> int:
        """See Format. Nearly always the file's end; after a half record, the beginning is where to look."""
        size = file.seek(0, os.SEEK_END)
        start = self._start(file, size) if size >= _AROUND else -1
        if start >= 0:
            file.seek(start)
            length, stream, _when = HEAD.unpack(file.read(HEAD.size))
            if length == size - start - _AROUND and stream in _STREAMS:
                return size
        file.seek(0)
        return size - len(self.cut(file.read(size))[1])


def _pieces(text: str) -> list[str]:
    """Lines with their newlines; no other character ends one, unlike with splitlines."""
    pieces = [f"{piece}\n" for piece in text.split("\n")]
    last = pieces.pop()[:-1]
    return [*pieces, last] if last else pieces

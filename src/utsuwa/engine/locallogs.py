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
        blocks, rest = self.bulk(data)
        return [Line(piece, block.stream, block.time) for block in blocks for piece in _pieces(block.text)], rest

    def bulk(self, data: bytes) -> tuple[list[Line], bytes]:
        """See Format. A record is what was read at one time, which is text enough when a container says much."""
        lines: list[Line] = []
        at = 0
        while len(data) - at >= HEAD.size:
            length, stream, when = HEAD.unpack_from(data, at)
            if length > LONGEST or stream not in _STREAMS:  # a monitor was killed in the middle of a record
                return lines, b""
            if len(data) - at < length + _AROUND:
                break
            text = data[at + HEAD.size : at + HEAD.size + length].decode("utf-8", "replace")
            lines.append(Line(text, _STREAMS[stream], self._clock.text(when)))
            at += length + _AROUND
        return lines, data[at:]

    def start(self, file: BinaryIO, count: int, end: int) -> tuple[int, int]:
        """See Format."""
        found = 0
        while end >= _AROUND and found < count:
            start = self._start(file, end)
            if start < 0:
                break
            file.seek(start)
            record = file.read(end - start)
            found += record.count(b"\n", HEAD.size, -TAIL.size) + (record[-TAIL.size - 1] != 10)
            end = start
        return end, found

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

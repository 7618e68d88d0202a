"""The format of Docker's json-file logs, see :mod:`utsuwa.monitor.jsonlog`: a record a line."""

from __future__ import annotations

import os
from _json import scanstring

from utsuwa.engine.logs import BLOCK, Line
from utsuwa.errors import Error
from utsuwa.spec import codec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_START = b'{"log":"'
_STREAM = b'","stream":"'
"""What ends the text of a record. Within one, a quote has a backslash before it, so this can't be there."""


def parse(record: bytes) -> Line | None:
    """The line of a record, None when it is damaged (a monitor that was killed while it wrote)."""
    if not record.startswith(_START):
        return None
    try:
        whole = record.decode()
        text, end = scanstring(whole, len(_START), True)
    except (ValueError, UnicodeDecodeError):
        return None
    parts = whole[end:].split('"')
    if len(parts) >= 8 and parts[1] == "stream" and parts[5] == "time":
        return Line(text, parts[3], parts[7])
    return _with_attributes(whole)


def _with_attributes(record: str) -> Line | None:
    try:
        found = codec.parse(record)
        return Line(found["log"], found["stream"], found["time"], found["attrs"])
    except (Error, KeyError):
        return None


class Json:
    """Read forwards by :meth:`cut` or :meth:`bulk`, and from behind by its newlines."""

    def cut(self, data: bytes) -> tuple[list[Line], bytes]:
        """See Format."""
        *records, rest = data.split(b"\n")
        return list(filter(None, map(parse, records))), rest

    def bulk(self, data: bytes) -> tuple[list[Line], bytes]:
        """See Format."""
        end = data.rfind(b"\n") + 1
        lines: list[Line] = []
        for run in _runs(data[:end]):
            line = _joined(run)
            lines += [line] if line else self.cut(run)[0]
        return lines, data[end:]

    def start(self, file: BinaryIO, count: int, end: int) -> tuple[int, int]:
        """See Format."""
        at, seen = end, 0
        while at:
            step = min(BLOCK, at)
            at -= step
            file.seek(at)
            data = file.read(step)
            here = data.count(b"\n")
            if seen + here > count:  # the last newline ends the last line, so one more has to be found
                return at + step - len(data.split(b"\n", seen + here - count)[-1]), count
            seen += here
        return 0, seen

    def end(self, file: BinaryIO) -> int:
        """See Format."""
        at = file.seek(0, os.SEEK_END)
        while at:
            step = min(BLOCK, at)
            file.seek(at - step)
            newline = file.read(step).rfind(b"\n")
            if newline >= 0:
                return at - step + newline + 1
            at -= step
        return 0


def _runs(records: bytes) -> Iterator[bytes]:
    """Whole records, cut where the stream changes."""
    at = 0
    while at < len(records):
        begin = records.find(_STREAM, at) + len(_STREAM)
        other = b"stdout" if records.startswith(b"stderr", begin) else b"stderr"
        change = records.find(_STREAM + other, begin)
        end = records.rfind(b"\n", begin, change) + 1 if change >= 0 else 0
        run = records[at:end] if end else records[at:]
        yield run
        at += len(run)


def _joined(run: bytes) -> Line | None:
    """Records of one stream as one line, by few calls for all of them; None unless all are as JsonLog writes them."""
    records = run.split(b"\n")
    records.pop()
    if run.count(b"\n" + _START) + 1 != len(records) or run.count(_STREAM) != len(records):
        return None
    line = parse(records[0])
    if line is None or line.attributes:
        return None
    skip = len(_START)
    text = b"".join([record[skip : record.find(_STREAM)] for record in records])
    try:
        source = text.decode() + '"'
        line.text, end = scanstring(source, 0, True)
    except ValueError:
        return None
    return line if end == len(source) else None  # a quote in the midst of it: the rest of a record that was cut off

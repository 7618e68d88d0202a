"""Reading a container's log back: Docker's json-file records, rotated files first, the last n, since a time, and as
they come.
"""

from __future__ import annotations

import os
from _json import scanstring

from utsuwa.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

_BLOCK = 1 << 16
_START = b'{"log":"'


class Line:
    """One record: what was written, to which stream, and when (RFC 3339)."""

    __slots__ = ("stream", "text", "time")

    def __init__(self, text: str, stream: str, time: str) -> None:
        self.text, self.stream, self.time = text, stream, time


def parse(record: bytes) -> Line | None:
    """The line of a record, None when it is damaged (a monitor that was killed while it wrote)."""
    if not record.startswith(_START):
        return None
    try:
        text, end = scanstring(record.decode(), len(_START), True)
        rest = record.decode()[end:]
    except (ValueError, UnicodeDecodeError):
        return None
    parts = rest.split('"')
    if len(parts) < 8 or parts[1] != "stream" or parts[5] != "time":
        return None
    return Line(text, parts[3], parts[7])


def files(directory: str, name: str) -> list[str]:
    """The log's files, oldest first."""
    rotated = []
    number = 1
    while os.path.exists(f"{directory}/{name}.{number}"):
        rotated.append(f"{directory}/{name}.{number}")
        number += 1
    return [*reversed(rotated), f"{directory}/{name}"]


def read(directory: str, name: str, tail: int | None = None) -> Iterator[Line]:
    """The lines that are there now; the last ``tail`` of them."""
    paths = [path for path in files(directory, name) if os.path.exists(path)]
    if tail is not None:
        for record in _last(paths, tail):
            line = parse(record)
            if line:
                yield line
        return
    for path in paths:
        with open(path, "rb") as file:
            for record in file:
                line = parse(record)
                if line:
                    yield line


def follow(directory: str, name: str, tail: int | None, wait: Callable[[], bool]) -> Iterator[Line]:
    """The lines, and those to come; ``wait`` waits a little and gives False when no more will come."""
    return (line for line in following(directory, name, tail, wait) if line)


def following(directory: str, name: str, tail: int | None, more: Callable[[], bool]) -> Iterator[Line | None]:
    """As ``follow``, for callers who wait themselves: None stands where nothing is left to read at the moment."""
    path = f"{directory}/{name}"
    try:
        file: BinaryIO = open(path, "rb")
    except FileNotFoundError:
        raise NotFound(f"no log at {path}") from None
    try:
        if tail is None:
            for older in files(directory, name)[:-1]:
                yield from _lines_of(older)
        else:
            # What is there at this moment is the tail's, what comes later is ours.
            end = _end_of_records(file)
            yield from filter(None, map(parse, _last(files(directory, name), tail, end)))
            file.seek(end)
        rest = b""
        while True:
            yield None
            goes_on = more()
            while data := file.read(_BLOCK):
                *records, rest = (rest + data).split(b"\n")
                yield from filter(None, map(parse, records))
            if not goes_on:
                return
            file = _reopen_rotated(file, path)
    finally:
        file.close()


def _reopen_rotated(file: BinaryIO, path: str) -> BinaryIO:
    """The file that the log's name means now; ``file`` itself unless it was rotated (and has been read to its end)."""
    try:
        if os.stat(path).st_ino == os.fstat(file.fileno()).st_ino:
            return file
        new = open(path, "rb")
    except FileNotFoundError:
        return file
    file.close()
    return new


def _lines_of(path: str) -> Iterator[Line]:
    try:
        with open(path, "rb") as file:
            for record in file:
                line = parse(record)
                if line:
                    yield line
    except FileNotFoundError:
        return


def _last(paths: list[str], count: int, end: int | None = None) -> list[bytes]:
    """The last ``count`` records, read from the ends of the files; of the newest only what is before ``end``."""
    found: list[bytes] = []
    for path in reversed(paths):
        if len(found) >= count:
            break
        found = _last_of(path, count - len(found), end) + found
        end = None
    return found[-count:] if count else []


def _last_of(path: str, count: int, end: int | None) -> list[bytes]:
    with open(path, "rb") as file:
        at = file.seek(0, os.SEEK_END) if end is None else end
        data = b""
        while at and data.count(b"\n") <= count:
            step = min(_BLOCK, at)
            at -= step
            file.seek(at)
            data = file.read(step) + data
    return data.splitlines()[-count:] if count else []


def _end_of_records(file: BinaryIO) -> int:
    """Where the last whole record ends; another may be half written."""
    at = file.seek(0, os.SEEK_END)
    while at:
        step = min(_BLOCK, at)
        file.seek(at - step)
        newline = file.read(step).rfind(b"\n")
        if newline >= 0:
            return at - step + newline + 1
        at -= step
    return 0

"""Reading a container's log back: files put aside first, the last n lines, and those to come.

What a file holds is told by a format: :mod:`utsuwa.engine.jsonlogs` for Docker's json-file,
:mod:`utsuwa.engine.locallogs` for the driver "local".
"""

from __future__ import annotations

import io
import os
import time

from utsuwa.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO, Protocol

    Cut = Callable[[bytes], tuple[list["Line"], bytes]]
else:
    Protocol = object

BLOCK = 1 << 18
"""Bytes of a file read at once."""
_PATIENCE, _MOMENT = 50, 0.001
"""How often, and after how many seconds each, it is looked again for a file that is between two names."""
LOCAL_NAME = "container.log"
"""The name of a log of the driver "local"."""


class Line:
    """One record: what was written, to which stream, and when (RFC 3339); ``attributes`` as --log-opt chose them."""

    __slots__ = ("attributes", "stream", "text", "time")

    def __init__(self, text: str, stream: str, time: str, attributes: dict[str, str] | None = None) -> None:
        self.text, self.stream, self.time, self.attributes = text, stream, time, attributes


class Format(Protocol):
    """How lines are kept in a file."""

    def cut(self, data: bytes) -> tuple[list[Line], bytes]:
        """The lines in ``data``, and what is left of it, the beginning of a record; damaged ones are left out."""
        raise NotImplementedError

    def bulk(self, data: bytes) -> tuple[list[Line], bytes]:
        """As ``cut``, but lines of one stream that follow one another come as one, for readers who want the text
        alone.
        """
        raise NotImplementedError

    def start(self, file: BinaryIO, count: int, end: int) -> tuple[int, int]:
        """Where the record begins that the last ``count`` lines before the offset ``end``, where a record ends, begin
        in; and how many lines there are from there, fewer where the file has no more.
        """
        raise NotImplementedError

    def end(self, file: BinaryIO) -> int:
        """Where the last whole record ends; another may be half written."""
        raise NotImplementedError


def format_of(name: str) -> Format:
    """The format of a log with this name."""
    if name == LOCAL_NAME:
        from utsuwa.engine.locallogs import Local

        return Local()
    from utsuwa.engine.jsonlogs import Json

    return Json()


def files(directory: str, name: str) -> list[str]:
    """The log's files, oldest first; those that end in .gz are compressed."""
    rotated: list[str] = []
    while path := _put_aside(directory, name, len(rotated) + 1):
        rotated.append(path)
    return [*reversed(rotated), f"{directory}/{name}"]


def _put_aside(directory: str, name: str, number: int) -> str:
    """The file put aside with this number, "" when there are no more. Files get new numbers from the oldest on: one
    that is missing while the next is there has a moment to come.
    """
    for _ in range(_PATIENCE):
        path = _aside(directory, name, number)
        if path or not _aside(directory, name, number + 1):
            return path
        time.sleep(_MOMENT)
    return ""


def _aside(directory: str, name: str, number: int) -> str:
    for path in (f"{directory}/{name}.{number}", f"{directory}/{name}.{number}.gz"):
        if os.path.exists(path):
            return path
    return ""


def _open(path: str) -> BinaryIO | None:
    """A file of the log; None when it was put aside, compressed or removed a moment ago."""
    try:
        file: BinaryIO = open(path, "rb")
    except FileNotFoundError:
        return None
    if not path.endswith(".gz"):
        return file
    import zlib

    with file:
        try:
            unpacked = _Unpacked(zlib.decompress(file.read(), 31))
        except zlib.error:
            return None
        unpacked.number = os.fstat(file.fileno()).st_ino
    return unpacked


class _Unpacked(io.BytesIO):
    """What was in a compressed file, whose inode has this ``number``."""

    number = 0


def read(directory: str, name: str, tail: int | None = None, bulk: bool = False) -> Iterator[Line]:
    """The lines that are there now; the last ``tail`` of them. ``bulk``: several may come as one, see Format."""
    form = format_of(name)
    cut = form.bulk if bulk else form.cut
    if tail is not None:
        yield from _last(form, cut, files(directory, name), tail)
        return
    for path in files(directory, name):
        yield from _lines_of(cut, path)


def follow(directory: str, name: str, tail: int | None, wait: Callable[[], bool], bulk: bool = False) -> Iterator[Line]:
    """The lines, and those to come; ``wait`` waits a little and gives False when no more will come."""
    return (line for line in following(directory, name, tail, wait, bulk) if line)


def following(
    directory: str, name: str, tail: int | None, more: Callable[[], bool], bulk: bool = False
) -> Iterator[Line | None]:
    """As ``follow``, for callers who wait themselves: None stands where nothing is left to read at the moment."""
    path, form = f"{directory}/{name}", format_of(name)
    cut = form.bulk if bulk else form.cut
    file = _open(path)
    if file is None:
        raise NotFound(f"no log at {path}")
    try:
        if tail is None:
            for older in files(directory, name)[:-1]:
                yield from _lines_of(cut, older)
        else:
            # What is there at this moment is the tail's, what comes later is ours.
            end = form.end(file)
            yield from _last(form, cut, files(directory, name), tail, end)
            file.seek(end)
        rest = b""
        while True:
            yield None
            goes_on = more()
            while data := file.read(BLOCK):
                lines, rest = cut(rest + data)
                yield from lines
            if not goes_on and _is_named(file, path):
                return
            for newer in _since(directory, name, file):
                yield from cut(rest + file.read())[0]  # what was written before it was put aside
                file.close()
                file, rest = newer, b""
            if not (goes_on or os.path.exists(path)):  # removed
                return
    finally:
        file.close()


def _is_named(file: BinaryIO, path: str) -> bool:
    try:
        return os.stat(path).st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:  # between two names
        return False


def _since(directory: str, name: str, file: BinaryIO) -> list[BinaryIO]:
    """The files that came after ``file``, oldest first, opened; the last is the newest at present.

    Looked for from the newest on. Where more are put aside meanwhile, names move the way that we go: a file that is met
    again was passed by newer ones, which are left for the next time.
    """
    found: list[BinaryIO] = []
    path, number = f"{directory}/{name}", 0
    while path and not _is_same(path, file):
        again = next((place for place, each in enumerate(found) if _is_same(path, each)), None)
        opened = None if again is not None else _open(path)
        if again is not None:
            found = found[: again + 1]
        elif opened:
            found.append(opened)
        elif not number:  # between two names: not now
            return []
        number += 1
        path = _put_aside(directory, name, number)
    return list(reversed(found))


def _is_same(path: str, file: BinaryIO) -> bool:
    """``file`` has this name, perhaps compressed since: then it is as old and as long as it was."""
    try:
        status = os.stat(path)
        if isinstance(file, _Unpacked):
            return file.number == status.st_ino
        ours = os.fstat(file.fileno())
        if not path.endswith(".gz"):
            return status.st_ino == ours.st_ino
        with open(path, "rb") as packed:
            packed.seek(-4, os.SEEK_END)
            length = int.from_bytes(packed.read(), "little")  # RFC 1952, ISIZE
        return (status.st_mtime_ns, length) == (ours.st_mtime_ns, ours.st_size & 0xFFFFFFFF)
    except OSError:
        return False


def _lines_of(cut: Cut, path: str) -> Iterator[Line]:
    file = _open(path)
    if file is not None:
        with file:
            yield from _between(cut, file, 0, file.seek(0, os.SEEK_END))


def _between(cut: Cut, file: BinaryIO, start: int, end: int) -> Iterator[Line]:
    """The lines of the records from ``start`` to ``end``."""
    file.seek(start)
    rest = b""
    while data := file.read(min(BLOCK, end - start)):
        start += len(data)
        lines, rest = cut(rest + data)
        yield from lines


def _last(form: Format, cut: Cut, paths: list[str], count: int, end: int | None = None) -> Iterator[Line]:
    """The last ``count`` lines, looked for from the ends of the files; of the newest only what is before ``end``."""
    regions: list[tuple[BinaryIO, int, int]] = []
    try:
        for path in reversed(paths):
            file = _open(path) if count > 0 else None
            stop, end = end, None
            if file is None:
                continue
            stop = form.end(file) if stop is None else stop
            start, found = form.start(file, count, stop)
            regions.append((file, start, stop))
            count -= found
        surplus = max(-count, 0)
        for file, start, stop in reversed(regions):
            for line in _between(cut, file, start, stop):
                if surplus:
                    surplus = _shorten(line, surplus)
                    if not line.text:
                        continue
                yield line
    finally:
        for file, _, _ in regions:
            file.close()


def _shorten(line: Line, surplus: int) -> int:
    """Take as many as ``surplus`` lines from the beginning; returns how many are still to be taken."""
    taken = min(surplus, line.text.count("\n"))
    line.text = line.text.split("\n", taken)[-1]
    return surplus - taken

"""`utsuwa logs`: what a container has printed (docker logs)."""

from __future__ import annotations

import os
import sys
import time

from utsuwa.cli import times
from utsuwa.cli.flags import SWITCH, WORD, Arguments, BadUsage, Option
from utsuwa.cli.house import House, Verb
from utsuwa.engine import logs
from utsuwa.engine.containers import log_name
from utsuwa.errors import Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from utsuwa.engine.logs import Line
    from utsuwa.engine.metadata import ContainerRecord

VERB = Verb(
    "logs [OPTIONS] CONTAINER",
    "Fetch the logs of a container",
    (
        Option("details", "", SWITCH, "Show extra details provided to logs"),
        Option("follow", "f", SWITCH, "Follow log output"),
        Option(
            "since", "", WORD, "Show logs since timestamp (RFC 3339 or Unix seconds) or relative (42m for 42 minutes)"
        ),
        Option("tail", "n", WORD, "Number of lines to show from the end of the logs", "all"),
        Option("timestamps", "t", SWITCH, "Show timestamps"),
        Option("until", "", WORD, "Show logs before a timestamp, or relative"),
    ),
    least=1,
    most=1,
)
_BATCH = 1 << 16
_PATIENCE = 250
"""Milliseconds between looks at whether the container still runs; its log wakes us by itself."""


def run(words: list[str]) -> int:
    """Lines of stdout go to our stdout, those of stderr to our stderr."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    tail = _tail(arguments.text("tail"))
    house = House()
    record = house.containers.find(arguments.words[0])
    lines = _lines(
        house, record, tail, times.moment(arguments.text("until")) if arguments.on("follow") else None, arguments
    )
    shown = _Shown(arguments.on("timestamps"), arguments.on("details"))
    _print(_within(lines, arguments), shown, flush=arguments.on("follow"))
    return 0


def _lines(
    house: House, record: ContainerRecord, tail: int | None, until: float | None, arguments: Arguments
) -> Iterable[Line]:
    follow = arguments.on("follow")
    if record.logDriver == "journald":
        from utsuwa.engine import journald

        return journald.read(record.id, tail, follow)
    name, directory = log_name(record), house.paths.container(record.id)
    if not name:
        raise Unsupported("configured logging driver does not support reading")
    bulk = not any(arguments.on(word) for word in ("timestamps", "details")) and not (
        arguments.text("since") or arguments.text("until")
    )
    if not follow:
        return logs.read(directory, name, tail, bulk)
    return logs.follow(directory, name, tail, _waiter(house, record, until), bulk)


def _tail(text: str) -> int | None:
    if text == "all" or text.startswith("-"):
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise BadUsage(f"invalid tail value: {text[:40]}")
    return int(text)


def _within(lines: Iterable[Line], arguments: Arguments) -> Iterable[Line]:
    since, until = times.moment(arguments.text("since")), times.moment(arguments.text("until"))
    if since is None and until is None:
        return lines
    return (
        line
        for line in lines
        if (since is None or times.parse(line.time) >= since) and (until is None or times.parse(line.time) < until)
    )


def _waiter(house: House, record: ContainerRecord, until: float | None) -> Callable[[], bool]:
    """Waits until there may be more; False once nobody keeps the container any more (what it wrote last is still to be
    read), or ``until`` is over.
    """
    from utsuwa.linux.inotify import Watch

    watch = Watch(house.paths.container(record.id))

    def wait() -> bool:
        status = house.containers.status(record)
        if not (status.alive or status.kept) or (until is not None and time.time() >= until):
            return False
        watch.wait(_PATIENCE if until is None else max(0.0, min(_PATIENCE, (until - time.time()) * 1000 + 1)))
        return True

    return wait


class _Shown:
    """A line with what stands before it."""

    def __init__(self, timestamps: bool, details: bool) -> None:
        self._timestamps, self._details = timestamps, details

    def __call__(self, line: Line) -> str:
        text = line.text
        if self._details:
            attributes = line.attributes or {}
            text = f"{','.join(f'{key}={attributes[key]}' for key in sorted(attributes))} {text}"
        return f"{fixed(line.time)} {text}" if self._timestamps else text


def _print(lines: Iterable[Line], shown: Callable[[Line], str], flush: bool) -> None:
    """In batches as long as the stream does not change: a write a line would take most of the time."""
    batch: list[str] = []
    size, stream = 0, "stdout"
    for line in lines:
        if batch and (line.stream != stream or size > _BATCH):
            _write(stream, batch)
            batch, size = [], 0
        stream = line.stream
        batch.append(shown(line))
        size += len(line.text)
        if flush:
            _write(stream, batch)
            batch, size = [], 0
    _write(stream, batch)


def fixed(stamp: str) -> str:
    """The time with nine digits after the point, which Docker prints so that columns align."""
    whole, _, fraction = stamp.rstrip("Z").partition(".")
    return f"{whole}.{fraction:0<9}Z"


def _write(stream: str, batch: list[str]) -> None:
    data = "".join(batch).encode("utf-8", "replace")
    fd = (sys.stdout if stream == "stdout" else sys.stderr).fileno()
    while data:
        data = data[os.write(fd, data) :]

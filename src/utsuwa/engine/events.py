"""Events: read back from the journal, followed as they come, and chosen by filters (docker events)."""

from __future__ import annotations

import os
import time

from utsuwa.engine.labels import has_labels
from utsuwa.errors import Error, InvalidArgument
from utsuwa.monitor import journal
from utsuwa.spec.codec import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, BinaryIO

    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.paths import Paths

    Event = dict[str, Any]

_KEYS = ("container", "daemon", "event", "image", "label", "network", "plugin", "scope", "type", "volume")
_WITH_DETAILS = ("health_status", "exec_create", "exec_start")
"""Actions that say more behind a colon; a filter names them without it."""


def note(paths: Paths, record: ContainerRecord, action: str, **extra: str) -> None:
    """Write down what was done to a container."""
    attributes = {**record.labels, "image": record.image, "name": record.name, **extra}
    journal.emit(paths.run, "container", action, record.id, attributes)


def events(run: str, since: float | None = None, until: float | None = None) -> Iterator[Event]:
    """The events from ``since`` to ``until`` (seconds since 1970), in order; without ``since`` those to come.

    Without ``until`` it never ends.
    """
    os.makedirs(run, 0o700, exist_ok=True)
    for line in _lines(run, since is not None, until):
        event = _event(line)
        if event is None or (since is not None and event["timeNano"] < since * 1e9):
            continue
        if until is not None and event["timeNano"] > until * 1e9:
            return
        yield event


def _event(line: bytes) -> Event | None:
    """None for a line that its writer did not finish."""
    try:
        event: Event = parse(line)
        return event if "Actor" in event else None
    except (Error, TypeError):
        return None


def _lines(run: str, from_start: bool, until: float | None) -> Iterator[bytes]:
    from utsuwa.linux.inotify import Watch

    watch = Watch(run)
    path = f"{run}/{journal.FILE}"
    file = _open(path)
    try:
        if file and not from_start:
            file.seek(0, os.SEEK_END)
        older = _open(f"{path}.1") if from_start else None
        if older:
            with older:
                if file is None or not _is_named(file, f"{path}.1"):  # unless it was put aside just now
                    yield from older
        while True:
            if file:
                yield from file  # whole lines: a writer holds the lock, and writes once
            if file is None or not _is_named(file, path):
                if file:
                    yield from file
                    file.close()
                file = _open(path)
                if file:
                    continue
            if until is not None and time.time() >= until:
                return
            watch.wait(None if until is None else max(0.0, until - time.time()) * 1000 + 1)
    finally:
        watch.close()
        if file:
            file.close()


def _open(path: str) -> BinaryIO | None:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        return None


def _is_named(file: BinaryIO, path: str) -> bool:
    try:
        return os.stat(path).st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:  # put aside a moment ago, and nothing has happened since
        return False


class Filters:
    """``--filter`` conditions: values of one key are alternatives (but for labels), keys go together."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Raises InvalidArgument."""
        self._wanted: dict[str, list[str]] = {}
        for text in texts:
            key, equals, value = text.partition("=")
            key = key.strip().lower()
            if not equals:
                raise InvalidArgument(f"bad format of filter {text!r} (expected name=value)")
            if key not in _KEYS:
                raise InvalidArgument(f"invalid filter '{key}'")
            self._wanted.setdefault(key, []).append(value.strip())

    def match(self, event: Event) -> bool:
        """One event fulfils them."""
        for key, values in self._wanted.items():
            check = getattr(self, f"_{key}", None)
            if check is None:
                fits = any(_is_about(event, key, value) for value in values)
            elif key == "label":
                fits = all(check(event, value) for value in values)
            else:
                fits = any(check(event, value) for value in values)
            if not fits:
                return False
        return True

    @staticmethod
    def _type(event: Event, value: str) -> bool:
        return bool(event["Type"] == value)

    @staticmethod
    def _scope(event: Event, value: str) -> bool:
        return bool(event["scope"] == value)

    @staticmethod
    def _event(event: Event, value: str) -> bool:
        action: str = event["Action"]
        return action == value or (action.partition(":")[0] in _WITH_DETAILS and action.startswith(value))

    @staticmethod
    def _label(event: Event, value: str) -> bool:
        return has_labels(event["Actor"]["Attributes"], (value,))

    @staticmethod
    def _image(event: Event, value: str) -> bool:
        used = event["Actor"]["Attributes"].get("image", "")
        return _is_about(event, "image", value) or value in (used, _without_tag(used))


def _is_about(event: Event, kind: str, value: str) -> bool:
    """The event's object is of this kind, and has this name, or an id or name that begins so."""
    name = event["Actor"]["Attributes"].get("name", "")
    same = event["Actor"]["ID"].startswith(value) or name.startswith(value) or _without_tag(name) == value
    return bool(event["Type"] == kind and same)


def _without_tag(name: str) -> str:
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name

"""The journal of events: who did what to which object, one JSON document a line, in the shape of Docker's events.

    RUN/events.jsonl     the newest; every process of ours appends to it
    RUN/events.jsonl.1   the one before

An append takes the file's lock, so times never go backwards and nobody writes to a file that was rotated away. What is
told here is told before the one who waits for it hears of it; a journal that can't be written stops nobody's work.
"""

from __future__ import annotations

import os
import time
from fcntl import LOCK_EX, flock

from utsuwa.errors import Error
from utsuwa.spec.codec import dumps, parse

FILE = "events.jsonl"
LIMIT = 1 << 20
"""Bytes after which a file is put aside."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any


def emit(run: str, kind: str, action: str, identifier: str, attributes: Mapping[str, str] | None = None) -> None:
    """Write an event down: ``kind`` is "container", "image", "network", "volume" or "builder", ``action`` Docker's word
    ("create", "pull", "health_status: healthy"), ``identifier`` the object's, ``run`` the engine's run directory.
    """
    _append(run, [_event(kind, action, identifier, attributes or {})])


def note_pruned(run: str, kind: str, reclaimed: int) -> None:
    """Write down that what nobody needs of a ``kind`` of objects was removed, which gave so many bytes back."""
    emit(run, kind, "prune", "", {"reclaimed": str(reclaimed)})


class Note:
    """Something about to happen to a container, put into words."""

    def __init__(self, run: str, directory: str, action: str, extra: Mapping[str, str] | None = None) -> None:
        """``directory``: ROOT/containers/ID, where its labels and names are.

        Before its start its volumes are mounted, and after its end they are not, which nobody else would tell.
        """
        about, identifier = _read_about(directory), os.path.basename(directory)
        names = {"image": about.get("image", ""), "name": about.get("name", "")}
        self._run = run
        self._events = [
            *(_of_volumes(identifier, "mount", about) if action == "start" else ()),
            _event("container", action, identifier, {**about.get("labels", {}), **names, **(extra or {})}),
            *(_of_volumes(identifier, "unmount", about) if action == "die" else ()),
        ]

    def write(self) -> None:
        """It has happened: write it down."""
        _append(self._run, self._events)


def note(run: str, directory: str, action: str, extra: Mapping[str, str] | None = None) -> None:
    """Write down what happened to a container, see Note."""
    Note(run, directory, action, extra).write()


def _read_about(directory: str) -> dict[str, Any]:
    try:
        with open(f"{directory}/container.json", "rb", buffering=0) as file:
            return parse(file.read())  # type: ignore[no-any-return]
    except (OSError, Error):  # it is being removed
        return {}


def _of_volumes(identifier: str, action: str, about: Mapping[str, Any]) -> Iterator[str]:
    for point in about.get("mountPoints", ()):
        if point.get("type") == "volume":
            told = {"container": identifier, "driver": point.get("driver") or "local"}
            if action == "mount":
                told |= {"destination": point["destination"], "propagation": point.get("shared", "")}
                told["read/write"] = "true" if point.get("rw", True) else "false"
            yield _event("volume", action, point["name"], told)


def _event(kind: str, action: str, identifier: str, attributes: Mapping[str, str]) -> str:
    """The line, but for its end, which has the time."""
    actor = {"ID": identifier, "Attributes": dict(attributes)}
    return dumps({"Type": kind, "Action": action, "Actor": actor, "scope": "local"})[:-1]


def _append(run: str, events: list[str]) -> None:
    try:
        _append_at_end(run, f"{run}/{FILE}", events)
    except OSError:  # a full disk
        return


def _append_at_end(run: str, path: str, events: list[str]) -> None:
    while True:
        fd = _open(run, path)
        try:
            flock(fd, LOCK_EX)
            if not _is_named(fd, path):  # somebody has put it aside
                continue
            now = time.time_ns()
            when = f',"time":{now // 1_000_000_000},"timeNano":{now}}}\n'
            os.write(fd, "".join([event + when for event in events]).encode())
            if os.fstat(fd).st_size > LIMIT:
                os.rename(path, f"{path}.1")
            return
        finally:
            os.close(fd)


def _open(run: str, path: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        os.makedirs(run, 0o700, exist_ok=True)
        return os.open(path, flags, 0o600)


def _is_named(fd: int, path: str) -> bool:
    try:
        return os.stat(path).st_ino == os.fstat(fd).st_ino
    except FileNotFoundError:
        return False

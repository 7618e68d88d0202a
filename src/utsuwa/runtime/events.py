"""`urun events`: what a container uses, again and again, and when its memory runs out."""

from __future__ import annotations

import os
import time
from select import POLLIN, poll

from utsuwa.cgroup.oom import watch
from utsuwa.errors import FailedPrecondition, NotFound
from utsuwa.runtime.process import start_time
from utsuwa.runtime.record import STOPPED, Container, Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from utsuwa.cgroup.manager import Manager

    Event = dict[str, Any]


def stats(store: Store, identifier: str) -> Event:
    """What the container uses now. Raises NotFound, FailedPrecondition unless it runs and has a cgroup."""
    return _stats(identifier, _manager(_running(store, identifier)))


def events(store: Store, identifier: str, interval: float) -> Iterator[Event]:
    """An event every ``interval`` seconds and at every time that memory runs out, until the container ends.

    Raises as :func:`stats` does, before the first event.
    """
    container = _running(store, identifier)
    return _events(identifier, _manager(container), _end_of(container), interval)


def _running(store: Store, identifier: str) -> Container:
    container = store.open(identifier)
    if container.status() == STOPPED:
        raise FailedPrecondition(f"container with id {identifier} is not running")
    return container


def _manager(container: Container) -> Manager:
    manager = container.manager()
    if manager is None:
        raise FailedPrecondition(f"container {container.id} has no cgroup, which is what counts")
    return manager


def _end_of(container: Container) -> int:
    """A pidfd of the container's first process."""
    document = container.document
    gone = FailedPrecondition(f"container with id {container.id} is not running")
    try:
        descriptor = os.pidfd_open(document.pid)
    except OSError as error:
        raise gone from error
    if start_time(document.pid) != document.startTime:
        os.close(descriptor)
        raise gone
    return descriptor


def _stats(identifier: str, manager: Manager) -> Event:
    return {"type": "stats", "id": identifier, "data": manager.stats()}


def _events(identifier: str, manager: Manager, end: int, interval: float) -> Iterator[Event]:
    memory = watch(manager.directories())
    waiting = poll()
    waiting.register(end, POLLIN)
    if memory is not None:
        waiting.register(memory.descriptor, memory.mask)
    due = time.monotonic() + interval
    try:
        while True:
            ready = dict(waiting.poll(max(0.0, due - time.monotonic()) * 1000))
            if memory is not None and memory.descriptor in ready and memory.happened():
                yield {"type": "oom", "id": identifier}
            if end in ready:
                return
            if time.monotonic() >= due:
                due = max(due + interval, time.monotonic())
                try:
                    event = _stats(identifier, manager)
                except NotFound:  # its cgroup is being removed
                    return
                yield event
    finally:
        if memory is not None:
            memory.close()
        os.close(end)

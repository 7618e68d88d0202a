"""Waiting in an event loop: for descriptors, for the ends of processes, for changes of directories; no thread waits."""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from weakref import WeakKeyDictionary

from utsuwa.engine.errands import BLIND, Pause
from utsuwa.linux.inotify import Inotify
from utsuwa.runtime.process import open_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Self, TypeVar

    T = TypeVar("T")


async def readable(descriptor: int) -> None:
    """Until a descriptor can be read; only one task may wait for it."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _wake, future)
    try:
        await future
    finally:
        loop.remove_reader(descriptor)


async def writable(descriptor: int) -> None:
    """Until a descriptor takes something; only one task may wait for it."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.add_writer(descriptor, _wake, future)
    try:
        await future
    finally:
        loop.remove_writer(descriptor)


async def drive(errand: Generator[Pause, None, T], seconds: float | None = None) -> T:
    """What an errand returns, after its pauses. Raises TimeoutError after ``seconds``."""
    with Sleeper() as sleeper:
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await sleeper.sleep(next(errand))
        except StopIteration as end:
            value: T = end.value
            return value
        finally:
            errand.close()


class Sleeper:
    """Sleeps through the pauses of one errand."""

    def __init__(self) -> None:
        self._changes: Changes | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        if self._changes:
            self._changes.close()

    async def sleep(self, pause: Pause) -> None:
        """Until the pause is over."""
        limit = pause.seconds
        if pause.directory and self._changes is None:
            try:
                self._changes = Changes(pause.directory)
                return  # from now on they are heard; whoever asks looks at what was before
            except OSError:
                limit = BLIND
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()
        with ExitStack() as stack:
            for pid, began in pause.processes:
                descriptor = open_process(pid, began)
                if descriptor is None:
                    return
                stack.callback(os.close, descriptor)
                loop.add_reader(descriptor, _wake, over)
                stack.callback(loop.remove_reader, descriptor)
            if self._changes and self._changes.tell(over):
                return
            if limit is not None:
                stack.callback(loop.call_later(limit, _wake, over).cancel)
            await over


class Changes:
    """The changes of one directory since this was made or was last asked; all of a loop share one inotify(7) queue."""

    def __init__(self, directory: str) -> None:
        """Raises OSError where nothing can be heard of the directory."""
        self._happened = False
        self._waiter: asyncio.Future[None] | None = None
        self._queue = _Queue.of_this_loop()
        self._number = self._queue.add(directory, self)

    def tell(self, waiter: asyncio.Future[None]) -> bool:
        """Something has happened already; if not, ``waiter`` will be told when it does."""
        self._waiter = waiter
        happened, self._happened = self._happened, False
        return happened

    def happen(self) -> None:
        """The kernel says so."""
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)
        else:
            self._happened = True

    def close(self) -> None:
        """Hear of it no more."""
        self._queue.remove(self._number, self)


class _Queue:
    """The inotify queue of a loop, there while somebody listens: a user may have 128 of them, and many watches."""

    _of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Queue] = WeakKeyDictionary()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._inotify = loop, Inotify()
        self._listeners: dict[int, set[Changes]] = {}
        loop.add_reader(self._inotify.descriptor, self._hear)

    @classmethod
    def of_this_loop(cls) -> _Queue:
        """The one of the running loop, made when there is none."""
        loop = asyncio.get_running_loop()
        queue = cls._of_loops.get(loop)
        if queue is None:
            queue = cls._of_loops[loop] = cls(loop)
        return queue

    def add(self, directory: str, listener: Changes) -> int:
        """Have somebody told of a directory; the number of the watch."""
        try:
            number = self._inotify.add(directory)
        except OSError:
            self._close_unused()
            raise
        self._listeners.setdefault(number, set()).add(listener)
        return number

    def remove(self, number: int, listener: Changes) -> None:
        """Nobody is told any more."""
        self._listeners[number].discard(listener)
        if not self._listeners[number]:
            del self._listeners[number]
            self._inotify.remove(number)
        self._close_unused()

    def _close_unused(self) -> None:
        if not self._listeners:
            self._loop.remove_reader(self._inotify.descriptor)
            self._inotify.close()
            del self._of_loops[self._loop]

    def _hear(self) -> None:
        numbers = self._inotify.read()
        for number in self._listeners if -1 in numbers else numbers & self._listeners.keys():
            for listener in self._listeners[number]:
                listener.happen()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)

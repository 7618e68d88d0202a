"""A process with its standard streams, in an event loop; :mod:`utsuwa.library.process` is the same for threads."""

from __future__ import annotations

import asyncio
import os

from utsuwa.aio.watching import readable, writable
from utsuwa.library.exchange import Exchange
from utsuwa.library.failures import TimedOut
from utsuwa.library.output import Chunk, Output, Splitter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType
    from typing import Self

    from utsuwa.monitor.client import Connection

_PATIENCE = 10.0
"""Seconds for a killed process to end."""


class Process:
    """Iterate over it (``async for``) for its output; ``async with`` waits for its end, and kills it when the block
    fails. One task may read and others write at the same time.
    """

    def __init__(self, connection: Connection, command: tuple[str, ...]) -> None:
        """For the library's own use: ``connection`` has said that the process has been started."""
        self._exchange = Exchange(connection, command)
        self._fd = connection.fd
        os.set_blocking(self._fd, False)
        self._reading, self._writing = asyncio.Lock(), asyncio.Lock()

    @property
    def exit_code(self) -> int | None:
        """None while it runs, or while nobody has read that it ended."""
        return self._exchange.exit_code

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        while True:
            for chunk in self._exchange.take():
                yield chunk
            if self.exit_code is not None:
                return
            await self._receive()

    async def lines(self) -> AsyncIterator[str]:
        """The lines of both streams as text, as they become whole, without their newlines."""
        splitter = Splitter()
        async for chunk in self:
            for line in splitter.feed(chunk):
                yield line
        for line in splitter.finish():
            yield line

    async def write(self, data: bytes | str) -> None:
        """Give the process something to read; waits until it is on its way."""
        self._exchange.write(data.encode() if isinstance(data, str) else data)
        await self._flush()

    async def close_stdin(self) -> None:
        """Let the process read the end of its input."""
        self._exchange.close_stdin()
        await self._flush()

    async def resize(self, rows: int, columns: int) -> None:
        """Give its terminal a size."""
        self._exchange.resize(rows, columns)
        await self._flush()

    async def signal(self, name: str) -> None:
        """Send it a signal ("TERM", "SIGHUP", "9"). Raises InvalidArgument for what is none."""
        self._exchange.signal(name)
        await self._flush()

    async def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended. Raises TimedOut after ``timeout`` seconds, and it goes on."""
        try:
            async with asyncio.timeout(timeout):
                while self._exchange.exit_code is None:
                    await self._receive()
        except TimeoutError:
            raise TimedOut(f"{' '.join(self._exchange.command) or 'the process'} has not ended in time") from None
        return self._exchange.exit_code

    async def communicate(self, input: bytes | str | None = None, timeout: float | None = None) -> Output:
        """Give it ``input`` and the end of it, and wait; all that it printed since the last iteration.

        Raises TimedOut after ``timeout`` seconds, and the process goes on.
        """
        if input is not None:
            self._exchange.write(input.encode() if isinstance(input, str) else input)
            self._exchange.close_stdin()
        flushing = asyncio.create_task(self._flush())
        try:
            await self.wait(timeout)
        finally:
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)
        return self._exchange.output(self._exchange.take())

    def close(self) -> None:
        """Hang up; the process goes on. A container that reads its input to the end reads that."""
        self._exchange.connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.exit_code is None:
                self._exchange.signal("KILL") if kind else self._exchange.close_stdin()
                await self._flush()
                await self.wait(_PATIENCE if kind else None)
        except TimedOut:
            pass
        finally:
            self.close()

    async def _flush(self) -> None:
        async with self._writing:
            while self._exchange.outgoing and self._exchange.exit_code is None:
                try:
                    self._exchange.sent(os.write(self._fd, self._exchange.outgoing[:65536]))
                except BlockingIOError:
                    await writable(self._fd)
                except OSError:  # the end, which is about to be read
                    self._exchange.sent(len(self._exchange.outgoing))

    async def _receive(self) -> None:
        """Read once; a task that finds another one reading is content with what that gets."""
        if self._reading.locked():
            async with self._reading:
                return
        async with self._reading:
            await readable(self._fd)
            try:
                data = os.read(self._fd, 65536)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data = b""
            self._exchange.feed(data)

"""A process with its standard streams: a container's first one, attached to, or one that ``exec`` has started."""

from __future__ import annotations

import os
import time
from select import POLLIN, POLLOUT, poll

from utsuwa.library.exchange import Exchange
from utsuwa.library.failures import TimedOut
from utsuwa.library.output import Chunk, Output, Splitter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from utsuwa.monitor.client import Connection


class Process:
    """Iterate over it for its output as it comes; ``with`` waits for its end, and kills it when the block fails.

    What arrives while something else is waited for is kept in memory for the next iteration.
    """

    def __init__(self, connection: Connection, command: tuple[str, ...]) -> None:
        """For the library's own use: ``connection`` has said that the process has been started."""
        self._exchange = Exchange(connection, command)
        self._fd = connection.fd
        os.set_blocking(self._fd, False)

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._exchange.exit_code

    def __iter__(self) -> Iterator[Chunk]:
        while True:
            yield from self._exchange.take()
            if self.exit_code is not None:
                return
            self._turn(None)

    def lines(self) -> Iterator[str]:
        """The lines of both streams as text, as they become whole, without their newlines."""
        splitter = Splitter()
        for chunk in self:
            yield from splitter.feed(chunk)
        yield from splitter.finish()

    def write(self, data: bytes | str) -> None:
        """Give the process something to read; waits until it is on its way."""
        self._exchange.write(data.encode() if isinstance(data, str) else data)
        self._flush()

    def close_stdin(self) -> None:
        """Let the process read the end of its input."""
        self._exchange.close_stdin()
        self._flush()

    def resize(self, rows: int, columns: int) -> None:
        """Give its terminal a size."""
        self._exchange.resize(rows, columns)
        self._flush()

    def signal(self, name: str) -> None:
        """Send it a signal ("TERM", "SIGHUP", "9"). Raises InvalidArgument for what is none."""
        self._exchange.signal(name)
        self._flush()

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended. Raises TimedOut after ``timeout`` seconds, and it goes on."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._exchange.exit_code is None:
            self._turn(deadline)
        return self._exchange.exit_code

    def communicate(self, input: bytes | str | None = None, timeout: float | None = None) -> Output:
        """Give it ``input`` and the end of it, and wait; all that it printed since the last iteration.

        Raises TimedOut after ``timeout`` seconds, and the process goes on.
        """
        if input is not None:
            self._exchange.write(input.encode() if isinstance(input, str) else input)
            self._exchange.close_stdin()
        self.wait(timeout)
        return self._exchange.output(self._exchange.take())

    def close(self) -> None:
        """Hang up; the process goes on. A container that reads its input to the end reads that."""
        self._exchange.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.exit_code is None:
                self._exchange.signal("KILL") if kind else self._exchange.close_stdin()
                self.wait(_PATIENCE if kind else None)
        except TimedOut:
            pass
        finally:
            self.close()

    def _flush(self) -> None:
        while self._exchange.outgoing and self._exchange.exit_code is None:
            self._turn(None)

    def _turn(self, deadline: float | None) -> None:
        """Wait until the connection takes or gives something, and let it."""
        waiting = poll()
        waiting.register(self._fd, POLLIN | POLLOUT if self._exchange.outgoing else POLLIN)
        rest = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready = waiting.poll(None if rest is None else int(rest * 1000) + 1)
        if not ready and deadline is not None and time.monotonic() >= deadline:
            raise TimedOut(f"{' '.join(self._exchange.command) or 'the process'} has not ended in time")
        for _fd, events in ready:
            if events & POLLOUT:
                self._send()
            if events & ~POLLOUT:
                self._receive()

    def _send(self) -> None:
        try:
            self._exchange.sent(os.write(self._fd, self._exchange.outgoing[:65536]))
        except BlockingIOError:
            return
        except OSError:  # the end, which is about to be read
            self._exchange.sent(len(self._exchange.outgoing))

    def _receive(self) -> None:
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        self._exchange.feed(data)


_PATIENCE = 10.0
"""Seconds for a killed process to end."""

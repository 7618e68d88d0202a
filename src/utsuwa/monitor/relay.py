"""The monitor's loop: output of the container to its log and its clients, input of the clients to the container.

Nothing in it waits: every descriptor is non-blocking, and what one side does not take yet is kept on disk (output to
a slow client) or not read yet (input that the container does not take).
"""

from __future__ import annotations

import os
import select
from errno import EIO

from utsuwa.monitor import frames
from utsuwa.monitor.attached import BACKLOG_LIMIT, Client

CHUNK = 65536
_NAMES = {frames.STDOUT: "stdout", frames.STDERR: "stderr"}
_INPUT_LIMIT = 65536

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.monitor.logs import Log


class Relay:
    """Everything that one process's stdio is connected to."""

    def __init__(
        self,
        log: Log | None,
        directory: int,
        signal: Callable[[int], None],
        resized: Callable[[int, int], None] = lambda _rows, _columns: None,
    ) -> None:
        """``directory``: descriptor of where backlogs are kept. ``signal`` is called with the number a client sends,
        ``resized`` with the terminal's new rows and columns.
        """
        self._resized = resized
        self._log, self._directory, self._signal = log, directory, signal
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._outputs: dict[int, int] = {}
        self._input = -1
        self._pending = b""
        self._input_ends = self._input_once = False
        self.terminal = self._slave = -1
        self.clients: list[Client] = []
        self._paused = False
        self.changed = False
        """A descriptor has come or gone since somebody set this to False."""

    def watch(self, fd: int, handler: Callable[[int], None]) -> None:
        """Call ``handler`` with poll(2)'s events when ``fd`` can be read."""
        self._handlers[fd] = handler
        self._poll.register(fd, select.POLLIN)

    def forget(self, fd: int) -> None:
        """Stop watching."""
        if self._handlers.pop(fd, None):
            self._poll.unregister(fd)

    def add_output(self, fd: int, stream: int) -> None:
        """Take over the read end of a pipe (or a pty's master) as ``stream``."""
        os.set_blocking(fd, False)
        self._outputs[fd] = stream
        self.watch(fd, lambda _events: self._take(fd))

    def set_input(self, fd: int, once: bool) -> None:
        """Take over the write end of the container's stdin; ``once``: it ends when the client that feeds it is gone."""
        os.set_blocking(fd, False)
        self._input, self._input_once = fd, once

    def set_terminal(self, fd: int, slave: int) -> None:
        """Take over a pty's master: it is output, input, and has a size. ``slave`` is kept open until the end."""
        self.terminal, self._slave = fd, slave
        self.add_output(fd, frames.STDOUT)
        self._input = fd

    def attach(self, fd: int, owner: bool = False) -> Client:
        """Take over a connection."""
        client = Client(fd, self._directory, owner)
        self.clients.append(client)
        self.watch(fd, lambda events: self._serve(client, events))
        return client

    @property
    def quiet(self) -> bool:
        """Nothing is under way that a later relay could not take up."""
        return not (self.clients or self._pending or self._input_ends or (self._log and self._log.waits))

    def descriptors(self) -> dict[str, int]:
        """What is to be kept for a later relay, by name."""
        found = {_NAMES[stream]: fd for fd, stream in self._outputs.items() if fd != self.terminal}
        if self.terminal >= 0:
            found |= {"terminal": self.terminal, "slave": self._slave}
        elif self._input >= 0:
            found["stdin"] = self._input
        return found

    def adopt(self, descriptors: dict[str, int], once: bool) -> None:
        """Take up what an earlier relay has left."""
        for name, fd in descriptors.items():
            if name == "terminal":
                self.set_terminal(fd, descriptors["slave"])
            elif name == "stdin":
                self.set_input(fd, once)
            elif name != "slave":
                self.add_output(fd, frames.STDERR if name == "stderr" else frames.STDOUT)

    def step(self, timeout: int | None = None) -> bool:
        """Wait for something to happen, at most ``timeout`` milliseconds, and deal with it; False when nothing did."""
        happened = self._poll.poll(timeout)
        for fd, events in happened:
            handler = self._handlers.get(fd)
            if handler:
                handler(events)
        return bool(happened)

    def drain(self) -> None:
        """Read what the ended process left in its pipes or its terminal."""
        if self._slave >= 0:
            os.close(self._slave)
            self._slave = -1
        for fd in tuple(self._outputs):
            while self._read(fd):
                pass
        # The kernel hands a terminal's last bytes over by a worker: wait for its end of file, but not for ever.
        if self.terminal in self._outputs:
            poll = select.poll()
            poll.register(self.terminal, select.POLLIN)
            while self.terminal in self._outputs and poll.poll(100):
                self._read(self.terminal)

    def finish(self, kind: int, data: bytes) -> None:
        """Send the last frame to everybody, and wait until everybody has everything or is gone."""
        for client in self.clients:
            client.send(kind, data)
        poll = select.poll()
        for client in self.clients:
            poll.register(client.fd, select.POLLOUT)
        waiting = {client.fd: client for client in self.clients}
        while any(client.backlog and not client.gone for client in waiting.values()):
            for fd, events in poll.poll():
                client = waiting[fd]
                client.flush()
                if events & (select.POLLERR | select.POLLHUP):
                    client.gone = True
                if client.gone or not client.backlog:
                    poll.unregister(fd)
        for client in self.clients:
            client.close()
        self.clients = []

    def _take(self, fd: int) -> None:
        self._read(fd)

    def _read(self, fd: int) -> bool:
        """One piece of output to the log and everybody; False when there is none now, or never again."""
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != EIO:  # what a pty's master says when the other side has been closed
                raise
            data = b""
        if not data:
            self._end_output(fd)
            return False
        stream = self._outputs[fd]
        if self._log:
            self._log.write(_NAMES[stream], data)
        if self.clients:
            self._send(stream, data)
        return True

    def _end_output(self, fd: int) -> None:
        """Nobody can write there any more."""
        self.forget(fd)
        self.changed = True
        del self._outputs[fd]
        if fd != self.terminal:
            os.close(fd)

    def _send(self, stream: int, data: bytes) -> None:
        for client in tuple(self.clients):
            client.send(stream, data)
            if client.gone:
                self._drop(client)
            elif client.backlog:
                self._await_room(client)

    def _await_room(self, client: Client) -> None:
        """Poll for room; one that is far too far behind is let go, or the owner's container waits."""
        self._poll.modify(client.fd, select.POLLIN | select.POLLOUT)
        if client.backlog > BACKLOG_LIMIT:
            if client.owner:
                self._pause(True)
            else:
                self._drop(client)

    def _pause(self, paused: bool) -> None:
        """Stop (or go on) reading output."""
        self._paused = paused
        for fd in self._outputs:
            self._poll.modify(fd, 0 if paused else select.POLLIN)

    def _drop(self, client: Client) -> None:
        self.forget(client.fd)
        client.close()
        self.clients.remove(client)
        if client.owner and self._paused:
            self._pause(False)
        if client.owner and self._input_once:
            self._end_input()

    def _serve(self, client: Client, events: int) -> None:
        """Something happened on a client's connection."""
        if events & select.POLLOUT:
            client.flush()
            if not client.backlog:
                self._poll.modify(client.fd, select.POLLIN)
                if self._paused and client.owner:
                    self._pause(False)
        if events & (select.POLLIN | select.POLLHUP | select.POLLERR) and not client.gone:
            self._receive(client)
        if client.gone and client in self.clients:
            self._drop(client)

    def _receive(self, client: Client) -> None:
        try:
            data = os.read(client.fd, CHUNK)
            if not data:
                client.gone = True
            for kind, payload in client.decoder.feed(data):
                self._obey(kind, payload)
        except BlockingIOError:
            return
        except (OSError, ValueError):
            client.gone = True

    def _obey(self, kind: int, payload: bytes) -> None:
        """Do what a client's frame says; ValueError when it is none."""
        if kind == frames.STDIN:
            if self._input >= 0 and not self._input_ends:
                self._pending += payload
                self._feed()
        elif kind == frames.CLOSE_STDIN:
            self._end_input()
        elif kind == frames.RESIZE:
            self.resize(*frames.unpack_size(payload))
        elif kind == frames.SIGNAL and len(payload) == 1:
            self._signal(payload[0])
        else:
            raise ValueError(f"a frame of unknown kind {kind}")

    def resize(self, rows: int, columns: int) -> None:
        """Give the terminal, if there is one, its size; the kernel tells its foreground processes."""
        if self.terminal >= 0:
            from utsuwa.linux import tty

            tty.resize(self.terminal, rows, columns)
            self._resized(rows, columns)

    def _feed(self, _events: int = 0) -> None:
        """Write what the container takes; while it does not, no client is read any further."""
        try:
            while self._pending:
                self._pending = self._pending[os.write(self._input, self._pending[:CHUNK]) :]
        except BlockingIOError:
            self._hold(len(self._pending) > _INPUT_LIMIT)
            self._await_input()
            return
        except OSError:  # nobody reads it any more
            self._pending = b""
            self._input_ends = True
        self._hold(False)
        if self._input == self.terminal:
            if self.terminal in self._outputs:
                self._poll.modify(self.terminal, select.POLLIN)
            return
        if self._input in self._handlers:
            self.forget(self._input)
        if self._input_ends:
            os.close(self._input)
            self._input = -1
            self._input_ends = False
            self.changed = True

    def _await_input(self) -> None:
        if self._input == self.terminal:
            self._poll.modify(self.terminal, select.POLLIN | select.POLLOUT)
            self._handlers[self.terminal] = self._terminal_ready
        else:
            self._handlers[self._input] = self._feed
            self._poll.register(self._input, select.POLLOUT)

    def _terminal_ready(self, events: int) -> None:
        if events & select.POLLOUT:
            self._feed()
        if events & ~select.POLLOUT:
            self._read(self.terminal)

    def _hold(self, held: bool) -> None:
        for client in self.clients:
            events = 0 if held else select.POLLIN
            self._poll.modify(client.fd, events | (select.POLLOUT if client.backlog else 0))

    def _end_input(self) -> None:
        """Close the container's stdin once all of it is written. A terminal has no end but what is typed."""
        if self._input >= 0 and self._input != self.terminal:
            self._input_ends = True
            self._feed()

"""A terminal, or pipes, in front of a container's process: bytes both ways, signals and sizes to it, its exit code
back.
"""

from __future__ import annotations

import os
import select
from _signal import SIGINT, SIGTERM, SIGWINCH

from utsuwa.cli.signals import ENOUGH, FORWARDED
from utsuwa.errors import Unavailable, from_oserror
from utsuwa.monitor import frames
from utsuwa.spec.codec import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from utsuwa.cli.detach import DetachKeys
    from utsuwa.cli.signals import Signals
    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.paths import Paths
    from utsuwa.monitor.client import Connection

_CHUNK = 32768
_STREAMS = {frames.STDOUT: "stdout", frames.STDERR: "stderr"}


def terminal_size() -> tuple[int, int]:
    """Rows and columns of standard output (or input); zeros without a terminal."""
    for fd in (1, 0):
        try:
            columns, rows = os.get_terminal_size(fd)
            return rows, columns
        except OSError:
            continue
    return 0, 0


def teller(paths: Paths, record: ContainerRecord, action: str, **extra: str) -> Callable[[], None]:
    """What writes down that a user has left a container's process alone."""

    def tell() -> None:
        from utsuwa.engine.events import note

        note(paths, record, action, **extra)

    return tell


class Session:
    """One attachment. ``stdin``: ours is forwarded. ``tty``: ours becomes raw. ``signals`` are forwarded.

    ``shown``: the names of the streams that are printed. ``detach``: typed at a terminal, these end the session only,
    and ``left`` is called.
    """

    def __init__(
        self,
        connection: Connection,
        signals: Signals,
        *,
        stdin: bool,
        tty: bool,
        shown: Collection[str] = ("stdout", "stderr"),
        detach: DetachKeys | None = None,
        left: Callable[[], None] = lambda: None,
    ) -> None:
        self._shown = {kind for kind, name in _STREAMS.items() if name in shown}
        self._connection, self._signals, self._stdin, self._tty = connection, signals, stdin, tty
        self._keys, self._left = detach if tty else None, left
        self._unsent = b""
        self._saved = b""
        self._poll = select.poll()
        self._code: int | None = None
        self._interrupts = 0

    def run(self) -> int:
        """Until the process has ended; its exit code. Raises Unavailable when its monitor was killed."""
        self._signals.attended = True
        self._enter_raw()
        try:
            for kind, payload in self._connection.pending():
                self._obey(kind, payload)
            self._loop(self._signals.descriptor)
        finally:
            self._leave_raw()
        assert self._code is not None
        return self._code

    def _loop(self, wake: int) -> None:
        fd = self._connection.fd
        os.set_blocking(fd, False)
        self._poll.register(fd, select.POLLIN)
        self._poll.register(wake, select.POLLIN)
        if self._stdin:
            self._poll.register(0, select.POLLIN)
        while self._code is None:
            for ready, events in self._poll.poll():
                if ready == wake:
                    self._deliver(self._signals.take())
                elif ready == fd:
                    self._exchange(events)
                elif ready == 0:
                    self._type()

    def _exchange(self, events: int) -> None:
        """Something can be read from, or written to, the monitor."""
        if events & select.POLLOUT:
            self._send(b"")
        if events & ~select.POLLOUT:
            try:
                data = os.read(self._connection.fd, 65536)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data = b""
            if not data:
                raise _lost()
            for kind, payload in self._connection.feed(data):
                self._obey(kind, payload)

    def _obey(self, kind: int, payload: bytes) -> None:
        if kind in self._shown:
            _write(kind, payload)
        elif kind == frames.EXITED:
            self._code = int(parse(payload)["exitCode"])

    def _type(self) -> None:
        """Forward what was typed, or its end; nothing more is read while the last has not left."""
        try:
            data = os.read(0, _CHUNK)
        except BlockingIOError:
            return
        except OSError:  # the terminal went away
            data = b""
        if data:
            typed, left = self._keys.feed(data) if self._keys else (data, False)
            if typed:
                self._send(frames.pack(frames.STDIN, typed))
            if left:
                self._code = 0
                os.write(2, b"\r\nread escape sequence\r\n")
                self._left()
        else:
            self._stdin = False
            self._poll.unregister(0)
            self._send(frames.pack(frames.CLOSE_STDIN))

    def _send(self, data: bytes) -> None:
        self._unsent += data
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._connection.fd, self._unsent) :]
        except BlockingIOError:
            self._poll.modify(self._connection.fd, select.POLLIN | select.POLLOUT)
            if self._stdin:
                self._poll.register(0, 0)
            return
        except OSError:  # the end, which is about to be read
            self._unsent = b""
        self._poll.modify(self._connection.fd, select.POLLIN)
        if self._stdin:
            self._poll.register(0, select.POLLIN)

    # --- signals ----------------------------------------------------------------------------------------------------

    def _deliver(self, numbers: bytes) -> None:
        for number in numbers:
            if number == SIGWINCH:
                rows, columns = terminal_size()
                if rows and self._tty:
                    self._send(frames.pack_size(rows, columns))
            elif number in FORWARDED:
                self._interrupts += number in (SIGINT, SIGTERM)
                if self._interrupts >= ENOUGH:
                    raise Unavailable(f"got {ENOUGH} SIGTERM/SIGINTs, forcefully exiting")
                self._send(frames.pack(frames.SIGNAL, bytes((number,))))

    # --- the terminal -----------------------------------------------------------------------------------------------

    def _enter_raw(self) -> None:
        if self._tty and self._stdin and os.isatty(0):
            from utsuwa.linux import tty

            self._saved = tty.make_raw(0)

    def _leave_raw(self) -> None:
        if self._saved:
            from utsuwa.linux import tty

            tty.restore(0, self._saved)
            self._saved = b""


def _write(fd: int, data: bytes) -> None:
    """All of it, also to a descriptor that somebody has made non-blocking."""
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            waiting = select.poll()
            waiting.register(fd, select.POLLOUT)
            waiting.poll()
        except OSError as error:  # the container goes on, as it does when any client goes away
            failure = from_oserror(error, f"write to {_STREAMS[fd]}")
            failure.exit_code = 1  # type: ignore[attr-defined]
            raise failure from error


def _lost() -> Unavailable:
    error = Unavailable("the monitor of the container was killed: how the process ends will not be known")
    error.exit_code = 125  # type: ignore[attr-defined]
    return error

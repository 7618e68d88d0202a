"""Terminals: whoever gets the pty's master, and the foreground copy loop when that is ourselves.

The process in the container opens the pty in its own devpts and sends the master (SCM_RIGHTS, payload: the slave's
name) over a socket that we hand to it: to the caller's ``--console-socket``, or to us.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, CMSG_SPACE, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET, socket, socketpair
from select import POLLIN, POLLOUT, poll

from utsuwa.errors import Internal, from_oserror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.runtime.foreground import Signals
    from utsuwa.spec.runtime import Process

_LONGEST_SUN_PATH = 107
_CHUNK = 65536


def connect(path: str) -> socket:
    """A stream connected to the socket at ``path``, which may be longer than the 107 bytes of unix(7)."""
    connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    try:
        through_directory(path, connection.connect)
    except OSError as error:
        connection.close()
        raise from_oserror(error, f"connect to socket {path}") from error
    return connection


def send_pidfd(path: str, pid: int, payload: str) -> None:
    """Send a pidfd of our child ``pid`` to the socket at ``path``, as runc's --pidfd-socket does."""
    connection = connect(path)
    descriptor = os.pidfd_open(pid)
    try:
        connection.sendmsg([payload.encode()], [(SOL_SOCKET, SCM_RIGHTS, descriptor.to_bytes(4, "little"))])
    except OSError as error:
        raise from_oserror(error, f"send a pidfd to {path}") from error
    finally:
        os.close(descriptor)
        connection.close()


def through_directory(path: str, use: Callable[[str], object]) -> None:
    """Call ``use`` (bind or connect of a socket) with an address for ``path`` that is short enough for unix(7)."""
    if len(os.fsencode(path)) <= _LONGEST_SUN_PATH:
        use(path)
        return
    directory, _, name = path.rpartition("/")
    descriptor = os.open(directory or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        use(f"/proc/self/fd/{descriptor}/{name}")
    finally:
        os.close(descriptor)


class Terminal:
    """Our own terminal, lent to a container: raw while it runs, resized together, given back after."""

    def __init__(self) -> None:
        ours, self.theirs = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        self._ours = ours
        self._saved = b""
        self.master = -1

    def size(self) -> tuple[int, int]:
        """Rows and columns of our standard input; zeros when it is no terminal."""
        try:
            columns, rows = os.get_terminal_size(0)
        except OSError:
            return 0, 0
        return rows, columns

    def sized(self, process: Process) -> Process:
        """The process with a terminal of the size of ours, should ours have one: it may look before we could resize."""
        from utsuwa.spec.runtime import ConsoleSize

        rows, columns = self.size()
        return process.replace(consoleSize=ConsoleSize(height=rows, width=columns)) if rows and columns else process

    def receive(self) -> None:
        """Take the master that the container's process sent. Raises Internal when it sent none."""
        self.theirs.close()
        _, ancillary, _, _ = self._ours.recvmsg(4096, CMSG_SPACE(4))
        for level, kind, data in ancillary:
            if level == SOL_SOCKET and kind == SCM_RIGHTS:
                self.master = int.from_bytes(data[:4], "little")
                os.set_inheritable(self.master, False)
        self._ours.close()
        if self.master < 0:
            raise Internal("the container's process sent no terminal")

    def show_rest(self) -> None:
        """Print what was written to a terminal whose process is gone, such as what a hook said before it failed."""
        try:
            self.receive()
        except Internal:
            return  # it ended before it had one
        os.set_blocking(self.master, False)  # somebody may live on with the other side
        while self._show():
            pass

    def __enter__(self) -> Terminal:
        if os.isatty(0):
            from utsuwa.linux import tty

            self._saved = tty.make_raw(0, process_output=True)  # as runc does it: our own messages stay readable
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._saved:
            from utsuwa.linux import tty

            tty.restore(0, self._saved)
            self._saved = b""

    def resize(self) -> None:
        """Give the container's terminal the size of ours."""
        rows, columns = self.size()
        if rows and columns:
            from utsuwa.linux import tty

            tty.resize(self.master, rows, columns)

    def copy(self, pid: int, signals: Signals) -> None:
        """Copy both ways until process ``pid`` has ended, or all have closed the container's side; pass signals on.

        The master does not block: a container that writes without reading must not stop what it writes.
        """
        os.set_blocking(self.master, False)
        end = os.pidfd_open(pid)
        waiting = poll()
        waiting.register(signals.descriptor, POLLIN)
        waiting.register(end, POLLIN)
        pending = b""
        typing = True
        while True:
            waiting.register(self.master, POLLIN | (POLLOUT if pending else 0))
            if typing and not pending:
                waiting.register(0, POLLIN)
            ready = dict(waiting.poll())
            if signals.descriptor in ready:
                signals.deliver(self)
            if 0 in ready:
                pending = _read(0)
                typing = bool(pending)
                waiting.unregister(0)
            if pending and self.master in ready and ready[self.master] & POLLOUT:
                pending = pending[os.write(self.master, pending) :]
            if self.master in ready and ready[self.master] & ~POLLOUT and not self._show():
                break
            if end in ready:
                while self._show():
                    pass
                break
        os.close(end)

    def _show(self) -> bool:
        """Print what the container has written; False when there is nothing, or it is the end."""
        data = _read(self.master)
        _write_all(1, data)
        return bool(data)


def _read(descriptor: int) -> bytes:
    """A chunk, b"" at the end; a pty's end is EIO once its last slave is closed."""
    try:
        return os.read(descriptor, _CHUNK)
    except OSError:
        return b""


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]

"""A process's standard streams: three pipes, or a terminal; and the connection between them and a relay."""

from __future__ import annotations

import os
from _socket import AF_UNIX, CMSG_LEN, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET, socketpair
from fcntl import fcntl, ioctl

from utsuwa.errors import Internal
from utsuwa.monitor import frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.monitor.relay import Relay

_TIOCGPTPEER = 0x5441
_F_SETPIPE_SZ = 1031
_PIPE_SIZE = 1 << 18
"""Bytes that a container may print while the relay is busy with what it printed before."""


class Stdio:
    """Both sides of a process's stdio, made before the fork; each side of the fork closes the other's."""

    def __init__(self, tty: bool, open_stdin: bool) -> None:
        """``open_stdin``: there is an input to come; otherwise stdin is /dev/null."""
        self.tty, self._open_stdin = tty, open_stdin
        self.inside: list[int] = []
        """Descriptors to become 0, 1 and 2 of the creator (pipes only)."""
        self.console = -1
        """The creator's end of the socket that the terminal's master comes by."""
        self._outside: list[int] = []
        if tty:
            ours, theirs = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
            self._outside, self.console = [ours.detach()], theirs.detach()
        else:
            self._make_pipes()

    def _make_pipes(self) -> None:
        if self._open_stdin:
            stdin, feed = os.pipe2(os.O_CLOEXEC)
        else:
            stdin, feed = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), -1
        out, stdout = os.pipe2(os.O_CLOEXEC)
        err, stderr = os.pipe2(os.O_CLOEXEC)
        for pipe in (out, err):
            try:
                fcntl(pipe, _F_SETPIPE_SZ, _PIPE_SIZE)
            except OSError:  # more than this user may have
                pass
        self.inside = [stdin, stdout, stderr]
        self._outside = [feed, out, err]

    def theirs(self) -> list[int]:
        """The descriptors for the creator: three pipe ends, or the socket."""
        return [self.console] if self.tty else self.inside

    def leave(self) -> None:
        """In the monitor: close the process's side, or its end could never be seen."""
        for fd in (*self.inside, self.console):
            if fd >= 0:
                os.close(fd)
        self.inside, self.console = [], -1

    def connect(self, relay: Relay, once: bool = False) -> None:
        """In the monitor, once the process exists: let the relay take over. Raises Internal when no terminal came."""
        if self.tty:
            relay.set_terminal(*_receive_terminal(self._outside[0]))
            return
        feed, out, err = self._outside
        if feed >= 0:
            relay.set_input(feed, once)
        relay.add_output(out, frames.STDOUT)
        relay.add_output(err, frames.STDERR)


def _receive_terminal(connection: int) -> tuple[int, int]:
    """The master that the process's side sent, and a slave that we keep open.

    Without the slave, reading the master fails while no process in the container has its terminal open.
    """
    from _socket import socket

    with_rights = socket(fileno=connection)
    _name, ancillary, _flags, _address = with_rights.recvmsg(4096, CMSG_LEN(4), 0x40000000)  # MSG_CMSG_CLOEXEC
    with_rights.close()
    for level, kind, data in ancillary:
        if level == SOL_SOCKET and kind == SCM_RIGHTS and len(data) >= 4:
            master = int.from_bytes(data[:4], "little")
            return master, ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    raise Internal("the terminal of the container was not received")

"""Where clients come in, and what the forkserver hears of it."""

from __future__ import annotations

import os
from _socket import AF_UNIX, CMSG_SPACE, SOCK_STREAM, socket
from select import POLLIN, poll

from utsuwa.monitor import frames
from utsuwa.monitor.guard import descriptors

_CLOEXEC = 0x40000000  # MSG_CMSG_CLOEXEC
_MOMENT = 1
"""Milliseconds in which a client that has connected sends its request."""


class Notice:
    """A pipe to the forkserver. On it comes first that a request is taken, so that another worker is needed; then the
    end: its process has been started, and there is a processor to prepare one.

    To tell the first wakes the forkserver: not while a container is put together, which takes a millisecond, but before
    anybody is waited for.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._said = False

    def taken(self) -> None:
        """Say so, once."""
        if not self._said:
            self._said = True
            try:
                os.write(self._fd, b"!")
            except BrokenPipeError:  # it has been killed
                pass

    def started(self) -> None:
        """There is nothing more to be told."""
        if self._fd >= 0:
            self.taken()
            self.close()

    def close(self) -> None:
        """Leave it to another process to say something."""
        os.close(self._fd)
        self._fd = -1


class Door:
    """The forkserver's listening socket, for one client. The forkserver closes it when nobody has come for long: on the
    other end of the pipe ``closed``.
    """

    def __init__(self, listener: int, closed: int, notice: Notice) -> None:
        self._listener, self._closed, self.notice = listener, closed, notice

    def is_knocked_at(self) -> bool:
        """Somebody waits."""
        return is_readable(self._listener)

    def leave(self) -> None:
        """Leave it to another process to let somebody in, but not what the forkserver is to hear."""
        os.close(self._listener)
        os.close(self._closed)

    def request(self, control: int) -> tuple[int, bytes, list[int]]:
        """The first frame of the next client, with descriptors: the connection, and what came with the frame.

        EOFError when the door is closed or ``control`` ends before somebody comes; when the client goes before its
        frame is complete, or sends what is none.
        """
        waiting = poll()
        for fd in (self._listener, self._closed, control):
            waiting.register(fd, POLLIN)
        if any(fd != self._listener for fd, _ in waiting.poll()):
            raise EOFError
        server = socket(AF_UNIX, SOCK_STREAM, 0, self._listener)  # told all, it asks the kernel nothing
        client = socket(AF_UNIX, SOCK_STREAM, 0, server._accept()[0])  # type: ignore[attr-defined]
        server.close()
        os.close(self._closed)
        try:
            kind, payload, received = self._frame(client)
        except EOFError:
            self.notice.taken()
            client.close()
            raise
        self.notice.close()
        return kind, payload, [client.detach(), *received]

    def _frame(self, client: socket) -> tuple[int, bytes, list[int]]:
        decoder = frames.Decoder()
        received: list[int] = []
        while True:
            if not is_readable(client.fileno(), _MOMENT):
                self.notice.taken()  # while this one takes its time, another can be served
            data, rights, _flags, _address = client.recvmsg(65536, CMSG_SPACE(4), _CLOEXEC)
            received += descriptors(rights)
            if not data:
                raise EOFError
            try:
                ready = decoder.feed(data)
            except ValueError as error:
                raise EOFError from error
            if ready:
                return *ready[0], received


def is_readable(fd: int, milliseconds: int = 0) -> bool:
    """Something has come by then."""
    waiting = poll()
    waiting.register(fd, POLLIN)
    return bool(waiting.poll(milliseconds))

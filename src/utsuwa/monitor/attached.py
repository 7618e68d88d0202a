"""One client attached to a container: it gets the output as frames, however slowly it reads.

A client that does not keep up must neither stop the container nor fill the monitor's memory nor miss a byte, so what
its socket does not take goes into an unlinked file, and from there to the socket by sendfile(2) whenever it has room.
"""

from __future__ import annotations

import os

from utsuwa.monitor import frames

BACKLOG_LIMIT = 1 << 30
"""Bytes that a client may be behind; the relay decides what happens to one that is more."""


class Client:
    """A connection and its backlog. ``gone`` once the peer has closed it."""

    __slots__ = ("_directory", "_end", "_sent", "_spill", "decoder", "fd", "gone", "owner")

    def __init__(self, fd: int, directory: int, owner: bool) -> None:
        """Take over the stream socket ``fd``; ``directory`` (a descriptor) is where a backlog may be kept.

        ``owner``: the one that started the container in the foreground; it would rather wait than lose output.
        """
        os.set_blocking(fd, False)
        self.fd, self._directory, self.owner = fd, directory, owner
        self.decoder = frames.Decoder()
        self.gone = False
        self._spill = -1
        self._sent = self._end = 0

    @property
    def backlog(self) -> int:
        """Bytes that wait in the file."""
        return self._end - self._sent

    def send(self, kind: int, data: bytes = b"") -> None:
        """Send a frame, now or later, in order."""
        if self.gone:
            return
        pieces = [frames.header(kind, len(data)), data]
        sent = 0
        try:
            if not self.backlog:
                sent = os.writev(self.fd, pieces)
        except BlockingIOError:
            pass
        except OSError:
            self.gone = True
            return
        if sent < 8 + len(data):
            self._keep(b"".join(pieces)[sent:])

    def flush(self) -> None:
        """Send from the file what the socket takes."""
        try:
            while self.backlog and not self.gone:
                sent = os.sendfile(self.fd, self._spill, self._sent, self.backlog)
                if not sent:
                    break
                self._sent += sent
        except BlockingIOError:
            return
        except OSError:
            self.gone = True
            return
        if self._spill >= 0:
            os.ftruncate(self._spill, 0)
            self._sent = self._end = 0

    def close(self) -> None:
        """Hang up."""
        self.gone = True
        os.close(self.fd)
        if self._spill >= 0:
            os.close(self._spill)
            self._spill = -1
        self._sent = self._end = 0

    def _keep(self, data: bytes) -> None:
        """Append to the backlog; a client whose backlog can't be kept is let go, because it would miss bytes."""
        try:
            if self._spill < 0:
                self._spill = _unlinked_file(self._directory)
            while data:
                written = os.pwrite(self._spill, data, self._end)
                self._end += written
                data = data[written:]
        except OSError:
            self.gone = True


def _unlinked_file(directory: int) -> int:
    """A file without a name in the directory behind the descriptor."""
    path = f"/proc/self/fd/{directory}"
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_TMPFILE, 0o600)
    except OSError:  # some file systems have no O_TMPFILE
        name = f"{path}/.backlog-{os.getpid()}"
        fd = os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o600)
        os.unlink(name)
        return fd

"""What a client makes of what a monitor sends."""

from __future__ import annotations

import os
import socket

import pytest

from utsuwa.monitor import frames
from utsuwa.monitor.client import Connection


def test_no_frame_is_lost_that_came_with_another() -> None:
    """Proven: a health check's output, when it came along with the word that the check was accepted."""
    ours, theirs = socket.socketpair()
    connection = Connection(ours.detach())
    theirs.sendall(frames.pack(frames.ACCEPTED) + frames.pack(frames.STDOUT, b"said\n"))
    assert connection.next() == (frames.ACCEPTED, b"")
    assert connection.receive() == [(frames.STDOUT, b"said\n")]
    theirs.sendall(frames.pack(frames.EXITED, b"{}"))
    assert connection.receive() == [(frames.EXITED, b"{}")]
    theirs.close()
    with pytest.raises(EOFError):
        connection.receive()
    os.close(connection.fd)

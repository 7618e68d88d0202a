"""Terminals: raw mode, size, and the line discipline's numbers (termios(3), ioctl_tty(2))."""

from __future__ import annotations

import fcntl
import struct
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SIZE = struct.Struct("HHHH")


def size(fd: int) -> tuple[int, int]:
    """Rows and columns of a terminal, (0, 0) when it was never told. Raises OSError (ENOTTY) for what is none."""
    rows, columns, _, _ = _SIZE.unpack(fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(_SIZE.size)))
    return rows, columns


def resize(fd: int, rows: int, columns: int) -> None:
    """Tell a terminal its size; its foreground processes get SIGWINCH when that is a change."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, _SIZE.pack(rows, columns, 0, 0))


def make_raw(fd: int) -> list[Any]:
    """Pass every byte through as it is, as cfmakeraw(3) does; returns what :func:`restore` takes."""
    saved = termios.tcgetattr(fd)
    iflag, oflag, cflag, lflag, ispeed, ospeed, characters = termios.tcgetattr(fd)
    iflag &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    oflag &= ~termios.OPOST
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    cflag = cflag & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    characters = [*characters]
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    termios.tcsetattr(fd, termios.TCSADRAIN, [iflag, oflag, cflag, lflag, ispeed, ospeed, characters])
    return saved


def restore(fd: int, saved: list[Any]) -> None:
    """Undo :func:`make_raw`, once what was written has gone out."""
    termios.tcsetattr(fd, termios.TCSADRAIN, saved)

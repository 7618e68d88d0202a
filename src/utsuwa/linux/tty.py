"""Terminals: raw mode and size (termios(3), ioctl_tty(2)), by ioctl: the termios module is a shared object to load."""

from __future__ import annotations

from _struct import pack, unpack, unpack_from
from fcntl import ioctl

# The same on x86-64 and aarch64.
_TCGETS, _TCSETS, _TCSETSW, _TIOCGWINSZ, _TIOCSWINSZ = 0x5401, 0x5402, 0x5403, 0x5413, 0x5414
_TERMIOS_SIZE = 36  # c_iflag, c_oflag, c_cflag, c_lflag, c_line, c_cc[19]
_VTIME, _VMIN = 5, 6
_INPUT = 0o1 | 0o2 | 0o10 | 0o40 | 0o100 | 0o200 | 0o400 | 0o2000  # IGNBRK BRKINT PARMRK ISTRIP INLCR IGNCR ICRNL IXON
_OPOST = 0o1
_CONTROL, _CS8 = 0o60 | 0o400, 0o60  # CSIZE PARENB
_LOCAL = 0o10 | 0o100 | 0o2 | 0o1 | 0o100000  # ECHO ECHONL ICANON ISIG IEXTEN


def size(fd: int) -> tuple[int, int]:
    """Rows and columns of a terminal, (0, 0) when it was never told. Raises OSError (ENOTTY) for what is none."""
    rows, columns, _, _ = unpack("HHHH", ioctl(fd, _TIOCGWINSZ, bytes(8)))
    return rows, columns


def resize(fd: int, rows: int, columns: int) -> None:
    """Tell a terminal its size; its foreground processes get SIGWINCH when that is a change."""
    ioctl(fd, _TIOCSWINSZ, pack("HHHH", rows, columns, 0, 0))


def make_raw(fd: int, *, process_output: bool = False) -> bytes:
    """Pass every byte through as it is, as cfmakeraw(3) does; returns what :func:`restore` takes.

    ``process_output``: a line feed on the way out still begins a new line at its left, as runc leaves it.
    """
    saved = ioctl(fd, _TCGETS, bytes(_TERMIOS_SIZE))
    iflag, oflag, cflag, lflag = unpack_from("4I", saved)
    characters = bytearray(saved[16:])
    characters[1 + _VMIN], characters[1 + _VTIME] = 1, 0  # behind c_line
    oflag &= ~0 if process_output else ~_OPOST
    flags = pack("4I", iflag & ~_INPUT, oflag, cflag & ~_CONTROL | _CS8, lflag & ~_LOCAL)
    ioctl(fd, _TCSETS, flags + bytes(characters))
    return saved


def restore(fd: int, saved: bytes) -> None:
    """Undo :func:`make_raw`, once what was written has gone out."""
    ioctl(fd, _TCSETSW, saved)

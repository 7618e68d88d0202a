"""Terminals, on a pty of our own."""

from __future__ import annotations

import os
import termios
from collections.abc import Iterator

import pytest

from utsuwa.linux import tty


@pytest.fixture
def pty() -> Iterator[tuple[int, int]]:
    master, slave = os.openpty()
    yield master, slave
    os.close(master)
    os.close(slave)


def test_size_is_what_it_was_set_to(pty: tuple[int, int]) -> None:
    master, slave = pty
    tty.resize(master, 50, 132)
    assert tty.size(slave) == (50, 132)


def test_size_of_what_is_no_terminal() -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(OSError, match="ioctl"):
            tty.size(reading)
    finally:
        os.close(reading)
        os.close(writing)


def test_raw_bytes_pass_through_and_are_not_echoed(pty: tuple[int, int]) -> None:
    master, slave = pty
    before = termios.tcgetattr(slave)
    saved = tty.make_raw(slave)
    os.write(master, b"\x03\r\x11")
    assert os.read(slave, 10) == b"\x03\r\x11"
    os.write(slave, b"a\nb")
    assert os.read(master, 10) == b"a\nb"
    tty.restore(slave, saved)
    assert termios.tcgetattr(slave) == before
    os.write(slave, b"a\n")
    assert os.read(master, 10) == b"a\r\n"


def test_raw_but_with_processed_output(pty: tuple[int, int]) -> None:
    master, slave = pty
    tty.make_raw(slave, process_output=True)
    os.write(slave, b"a\nb")
    assert os.read(master, 10) == b"a\r\nb"


def test_it_is_what_termios_would_have_done(pty: tuple[int, int]) -> None:
    import tty as reference

    master, slave = pty
    reference.setraw(master)
    wanted = termios.tcgetattr(master)
    termios.tcsetattr(master, termios.TCSANOW, wanted)
    tty.make_raw(slave)
    assert termios.tcgetattr(slave) == wanted

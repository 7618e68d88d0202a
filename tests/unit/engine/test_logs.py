"""Reading logs back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from utsuwa.engine import logs
from utsuwa.monitor.jsonlog import JsonLog
from utsuwa.monitor.logfile import LogFile


@pytest.fixture
def written(tmp_path: Path) -> str:
    """Three files with the numbers from 0 to 39."""
    fd = os.open(tmp_path, os.O_RDONLY)
    log = JsonLog(LogFile(fd, "log", 1000, 9))
    for number in range(40):
        log.write("stderr" if number % 2 else "stdout", f"{number}\n".encode())
    log.close()
    os.close(fd)
    return str(tmp_path)


def numbers(lines: object) -> list[int]:
    return [int(line.text) for line in lines]  # type: ignore[attr-defined]


def test_everything_in_order(written: str) -> None:
    assert len(logs.files(written, "log")) > 2
    assert numbers(logs.read(written, "log")) == list(range(40))


@pytest.mark.parametrize("tail", [0, 1, 7, 39, 40, 100])
def test_the_last(written: str, tail: int) -> None:
    assert numbers(logs.read(written, "log", tail)) == list(range(40))[max(0, 40 - tail) :]


def test_damaged_records_are_left_out() -> None:
    assert logs.parse(b'{"log":"cut off in the mid') is None
    assert logs.parse(b"nonsense") is None
    line = logs.parse(b'{"log":"a\\"\\n","stream":"stderr","time":"2024-01-01T00:00:00Z"}\n')
    assert line is not None
    assert (line.text, line.stream, line.time) == ('a"\n', "stderr", "2024-01-01T00:00:00Z")


def test_following_sees_what_comes_and_rotations(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    log = JsonLog(LogFile(fd, "log", 500, 9))
    log.write("stdout", b"0\n1\n")
    left = iter(range(2, 30))

    def wait() -> bool:
        number = next(left, None)
        if number is not None:
            log.write("stdout", f"{number}\n".encode())
        return number is not None

    assert numbers(logs.follow(str(tmp_path), "log", None, wait)) == list(range(30))
    log.close()
    os.close(fd)


def test_following_from_the_tail_misses_nothing(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    log = JsonLog(LogFile(fd, "log"))
    log.write("stdout", b"0\n1\n2\n")
    lines = logs.follow(str(tmp_path), "log", 1, lambda: False)
    assert int(next(lines).text) == 2
    log.write("stdout", b"3\n")  # between the tail and the first look
    assert numbers(lines) == [3]
    log.close()
    os.close(fd)

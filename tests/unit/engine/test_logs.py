"""Reading logs back."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from utsuwa.engine import jsonlogs, logs
from utsuwa.engine.jsonlogs import parse
from utsuwa.monitor.jsonlog import JsonLog
from utsuwa.monitor.locallog import LocalLog
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


def test_a_file_between_two_names_is_waited_for(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    os.rename(f"{written}/log.1", f"{written}/moving")
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            os.rename(f"{written}/moving", f"{written}/log.1")

    monkeypatch.setattr(time, "sleep", sleep)
    assert numbers(logs.read(written, "log")) == list(range(40))
    assert len(waited) == 3


@pytest.mark.parametrize("tail", [0, 1, 7, 39, 40, 100])
def test_the_last(written: str, tail: int) -> None:
    assert numbers(logs.read(written, "log", tail)) == list(range(40))[max(0, 40 - tail) :]


def test_damaged_records_are_left_out() -> None:
    assert parse(b'{"log":"cut off in the mid') is None
    assert parse(b"nonsense") is None
    line = parse(b'{"log":"a\\"\\n","stream":"stderr","time":"2024-01-01T00:00:00Z"}\n')
    assert line is not None
    assert (line.text, line.stream, line.time) == ('a"\n', "stderr", "2024-01-01T00:00:00Z")


def _texts(lines: Iterable[logs.Line]) -> list[tuple[str, str]]:
    """What one stream says in a row, as one text."""
    found: list[tuple[str, str]] = []
    for line in lines:
        before = found.pop()[1] if found and found[-1][0] == line.stream else ""
        found.append((line.stream, before + line.text))
    return found


@pytest.mark.parametrize(
    ("name", "attributes"), [("log", {}), ("log", {"tag": "a", "stream": "stdout"}), (logs.LOCAL_NAME, {})]
)
def test_many_lines_at_once_are_the_same_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, attributes: dict[str, str]
) -> None:
    monkeypatch.setattr(logs, "BLOCK", 5000)
    monkeypatch.setattr(jsonlogs, "BLOCK", 700)
    dice = random.Random(7)
    fd = os.open(tmp_path, os.O_RDONLY)
    file = LogFile(fd, name, 40_000, 9)
    log = LocalLog(file) if name == logs.LOCAL_NAME else JsonLog(file, attributes)
    words = [
        b"plain\n" * 40,
        b'","stream":"stderr"\n',
        b"\\\n",
        b"\x1b[1m\t\n",
        "\u00e9\U0001f600\n".encode(),
        b"\xff\n",
    ]
    for _ in range(200):
        for _ in range(dice.randrange(5)):
            log.write(dice.choice(["stdout", "stdout", "stderr"]), dice.choice(words))
        if name == "log" and dice.random() < 0.02:
            file.put(b'{"log":"cut off in')  # a monitor killed, and another that goes on
    log.close()
    os.close(fd)
    for tail in (None, 0, 1, 2, 50, 3000, 100_000):
        lines = list(logs.read(str(tmp_path), name, tail))
        bulk = list(logs.read(str(tmp_path), name, tail, bulk=True))
        assert _texts(bulk) == _texts(lines)
    assert len(lines) > 3000
    assert attributes or len(bulk) < len(lines) / 4


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

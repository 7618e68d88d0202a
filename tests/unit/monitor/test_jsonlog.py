"""The log: every byte in it, in Docker's records, whatever the pieces it came in."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from utsuwa.monitor.jsonlog import SPLIT, Clock, JsonLog
from utsuwa.monitor.logfile import LogFile

NOON = 1_700_000_000_120_000_000


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def records(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_a_record_is_dockers(tmp_path: Path, directory: int) -> None:
    log = JsonLog(LogFile(directory, "log"), now=lambda: NOON)
    log.write("stdout", b'say "hi"\n\ttab\\\n')
    log.close()
    assert (tmp_path / "log").read_text() == (
        '{"log":"say \\"hi\\"\\n","stream":"stdout","time":"2023-11-14T22:13:20.12Z"}\n'
        '{"log":"\\ttab\\\\\\n","stream":"stdout","time":"2023-11-14T22:13:20.12Z"}\n'
    )


@pytest.mark.parametrize(("nanoseconds", "text"), [(0, "1970-01-01T00:00:00Z"), (1, "1970-01-01T00:00:00.000000001Z")])
def test_times_have_no_trailing_zeros(nanoseconds: int, text: str) -> None:
    assert Clock().text(nanoseconds) == text


@pytest.mark.parametrize(
    "text",
    [
        b'all of "these" \\ are\tplain\r',
        b"a bell \a and \x01 \x1b[0m",
        b"delete \x7f",
        "déjà vu \u2028".encode(),
        b"\xff",
    ],
)
def test_every_character_comes_back(tmp_path: Path, directory: int, text: bytes) -> None:
    log = JsonLog(LogFile(directory, "log"))
    log.write("stdout", b"first\n" + text + b"\nlast\n")
    log.close()
    expected = ["first\n", text.decode("utf-8", "replace") + "\n", "last\n"]
    assert [each["log"] for each in records(tmp_path / "log")] == expected


def test_a_line_without_end_waits(tmp_path: Path, directory: int) -> None:
    log = JsonLog(LogFile(directory, "log"))
    log.write("stdout", b"par")
    log.write("stderr", b"other\n")
    assert [each["log"] for each in records(tmp_path / "log")] == ["other\n"]
    log.write("stdout", b"tial\nrest")
    log.close()
    assert [each["log"] for each in records(tmp_path / "log")] == ["other\n", "partial\n", "rest"]


@pytest.mark.parametrize("length", [SPLIT - 1, SPLIT, SPLIT + 1, 3 * SPLIT, 3 * SPLIT + 7])
def test_long_lines_are_split(tmp_path: Path, directory: int, length: int) -> None:
    log = JsonLog(LogFile(directory, "log"))
    log.write("stdout", b"x" * length + b"\nshort\n")
    log.close()
    texts = [each["log"] for each in records(tmp_path / "log")]
    assert "".join(texts) == "x" * length + "\nshort\n"
    assert max(map(len, texts)) <= SPLIT
    assert all(len(text) == SPLIT for text in texts[: length // SPLIT])


def test_any_bytes_in_any_pieces(tmp_path: Path, directory: int) -> None:
    chance = random.Random(7)
    alphabet = ["a", "é", "\n", '"', "\\", "\x7f", "\x00", "\x1b", "\u2028", "x" * 3000]
    text = "".join(chance.choices(alphabet, weights=[9, 3, 9, 2, 2, 1, 1, 1, 1, 1], k=3000))
    data = text.encode()
    log = JsonLog(LogFile(directory, "log"))
    at = 0
    while at < len(data):
        size = chance.choice([1, 10, 1000, 65536])
        log.write("stdout", data[at : at + size])
        at += size
    log.close()
    logged = "".join(each["log"] for each in records(tmp_path / "log"))
    assert logged == text


def test_rotation_keeps_so_many_files(tmp_path: Path, directory: int) -> None:
    log = JsonLog(LogFile(directory, "log", 300, 3))
    for number in range(50):
        log.write("stdout", f"{number}\n".encode() * (number % 3 + 1))
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    kept = [each["log"] for name in ("log.2", "log.1", "log") for each in records(tmp_path / name)]
    assert kept[-1] == "49\n"
    assert all(path.stat().st_size < 400 for path in tmp_path.iterdir())


def test_a_full_disk_is_counted(directory: int) -> None:
    file = LogFile(directory, "log")
    log = JsonLog(file)
    os.close(file._file)
    file._file = os.open("/dev/full", os.O_WRONLY)
    log.write("stdout", b"lost\n")
    log.close()
    assert log.lost > 5

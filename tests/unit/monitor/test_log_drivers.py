"""Files put aside and compressed, the driver "local", and messages to the journal."""

from __future__ import annotations

import gzip
import os
import random
import socket
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from utsuwa.engine import logs
from utsuwa.engine.journald import line_of
from utsuwa.engine.locallogs import Local
from utsuwa.monitor.journallog import JournalLog
from utsuwa.monitor.jsonlog import Clock, JsonLog
from utsuwa.monitor.locallog import LocalLog
from utsuwa.monitor.logfile import LogFile, compress

NAME = logs.LOCAL_NAME


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def texts(lines: object) -> list[str]:
    return [line.text for line in lines]  # type: ignore[attr-defined]


def test_old_files_are_compressed(tmp_path: Path, directory: int) -> None:
    for number in (1, 2, 3):
        (tmp_path / f"log.{number}").write_text(f'{{"log":"{number}\\n","stream":"stdout","time":"t"}}\n')
        compress(directory, f"log.{number}")
    (tmp_path / "log").write_text('{"log":"0\\n","stream":"stdout","time":"t"}\n')
    assert sorted(os.listdir(tmp_path)) == ["log", "log.1.gz", "log.2.gz", "log.3.gz"]
    assert b'"3\\n"' in gzip.decompress((tmp_path / "log.3.gz").read_bytes())
    assert texts(logs.read(str(tmp_path), "log")) == ["3\n", "2\n", "1\n", "0\n"]
    assert texts(logs.read(str(tmp_path), "log", 2)) == ["1\n", "0\n"]


def test_compression_goes_on_beside(tmp_path: Path, directory: int) -> None:
    log = JsonLog(LogFile(directory, "log", 200, 3, compress=True))
    for number in range(40):
        log.write("stdout", b"%d\n" % number)
    log._file._await_compressor()
    log.close()
    for _ in range(40):
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
    assert sorted(os.listdir(tmp_path)) == ["log", "log.1.gz", "log.2.gz"]
    found = [int(text) for text in texts(logs.read(str(tmp_path), "log"))]
    assert found == list(range(found[0], 40)) and len(found) > 3


def test_local_gives_back_what_was_written(tmp_path: Path, directory: int) -> None:
    dice = random.Random(3)
    log = LocalLog(LogFile(directory, NAME, 20_000, 99), now=lambda: 1_700_000_000_120_000_000)
    written = {"stdout": b"", "stderr": b""}
    for _ in range(200):
        stream = dice.choice(["stdout", "stderr"])
        data = dice.choice([b"x" * dice.randrange(20_000), b"a\nb\n", b"\n", b"no end", "\u00e9\u2028\n".encode()])
        written[stream] += data
        log.write(stream, data)
    log.write("stdout", b"no end")
    written["stdout"] += b"no end"
    assert log.waits
    log.close()
    assert len(logs.files(str(tmp_path), NAME)) > 3
    lines = list(logs.read(str(tmp_path), NAME))
    for stream, data in written.items():
        assert "".join(line.text for line in lines if line.stream == stream).encode() == data
    assert lines[0].time == "2023-11-14T22:13:20.12Z"
    for count in (0, 1, 5, 100, 10_000):
        assert texts(logs.read(str(tmp_path), NAME, count)) == texts(lines)[max(0, len(lines) - count) :]


def test_local_without_the_end_of_its_last_record(tmp_path: Path, directory: int) -> None:
    log = LocalLog(LogFile(directory, NAME))
    log.write("stdout", b"one\ntwo\n")
    log.write("stdout", b"three\n")
    log.close()
    whole = (tmp_path / NAME).read_bytes()
    for cut in range(1, 20):
        (tmp_path / NAME).write_bytes(whole[:-cut])
        assert texts(logs.read(str(tmp_path), NAME)) == ["one\n", "two\n"]
        assert texts(logs.read(str(tmp_path), NAME, 1)) == ["two\n"]
    assert Local().cut(b"\xff" * 100) == ([], b"")


def test_a_follower_sees_files_that_were_put_aside_between_two_looks(tmp_path: Path, directory: int) -> None:
    log = JsonLog(LogFile(directory, "log", 300, 9))
    log.write("stdout", b"0\n")
    numbers = iter(range(1, 31))

    def wait() -> bool:
        more = list(islice(numbers, 15))  # five files at once
        for number in more:
            log.write("stdout", b"%d\n" % number)
        return bool(more)

    assert [int(text) for text in texts(logs.follow(str(tmp_path), "log", None, wait))] == list(range(31))
    log.close()


def test_attributes_stand_in_every_record(tmp_path: Path, directory: int) -> None:
    log = JsonLog(LogFile(directory, "log"), {"tag": 'a"b', "stream": "no"})
    log.write("stderr", b"one\ntwo\n")
    log.close()
    first, second = logs.read(str(tmp_path), "log")
    assert (first.text, first.stream, first.attributes) == ("one\n", "stderr", {"tag": 'a"b', "stream": "no"})
    assert (second.text, second.attributes) == ("two\n", first.attributes)


def test_the_journal_gets_a_message_a_line(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "j"))
        journal.settimeout(5)
        log = JournalLog({"CONTAINER_NAME": "cc", "LABEL": "two\nlines"}, str(tmp_path / "j"))
        log.write("stdout", b"one\ntw")
        log.write("stderr", b"bad\n")
        log.write("stdout", b"o\nrest")
        assert log.waits
        log.close()
        received = [journal.recv(1 << 16) for _ in range(4)]
    head = b"CONTAINER_NAME=cc\nLABEL\n" + (9).to_bytes(8, "little") + b"two\nlines\n"
    assert received[0] == head + b"PRIORITY=6\nMESSAGE=one\n"
    assert received[1] == head + b"PRIORITY=3\nMESSAGE=bad\n"
    assert received[2].endswith(b"MESSAGE=two\n")
    assert received[3].endswith(b"MESSAGE=rest\nCONTAINER_PARTIAL_MESSAGE=true\n")
    assert log.lost == 0


def test_without_a_journal_lines_are_counted(tmp_path: Path) -> None:
    log = JournalLog({}, str(tmp_path / "nobody"))
    log.write("stdout", b"12345\n")
    log.close()
    assert log.lost == 5


def test_what_journalctl_says() -> None:
    line = line_of(b'{"MESSAGE":[104,105],"PRIORITY":"3","__REALTIME_TIMESTAMP":"1700000000120000"}\n', Clock())
    assert line is not None
    assert (line.text, line.stream, line.time) == ("hi\n", "stderr", "2023-11-14T22:13:20.12Z")
    assert line_of(b"-- No entries --\n", Clock()) is None

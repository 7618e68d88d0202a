"""The journal of events: whole lines from several writers, put aside when it is long, chosen by filters."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from utsuwa.engine.events import Filters, events
from utsuwa.errors import InvalidArgument
from utsuwa.monitor import journal


def test_what_was_told_is_read_in_order(tmp_path: Path) -> None:
    for action in ("create", "start", "die"):
        journal.emit(str(tmp_path / "run"), "container", action, "abc", {"name": "n"})
    found = list(events(str(tmp_path / "run"), since=0, until=time.time()))
    assert [event["Action"] for event in found] == ["create", "start", "die"]
    assert found[0]["Actor"] == {"ID": "abc", "Attributes": {"name": "n"}}
    assert found[0]["time"] == found[0]["timeNano"] // 10**9


def test_a_long_journal_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "LIMIT", 2000)
    for number in range(30):
        journal.emit(str(tmp_path), "image", "pull", str(number))
    assert sorted(os.listdir(tmp_path)) == ["events.jsonl", "events.jsonl.1"]
    assert all((tmp_path / name).stat().st_size < 2300 for name in os.listdir(tmp_path))
    numbers = [int(event["Actor"]["ID"]) for event in events(str(tmp_path), since=0, until=time.time())]
    assert numbers == list(range(numbers[0], 30))


def test_a_follower_misses_nothing_of_many_writers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "LIMIT", 50_000)
    run, each = str(tmp_path), 150
    for _ in range(5):
        journal.emit(run, "image", "old", "")
    reader = events(run, since=time.time())

    def tell(writer: int) -> None:
        for number in range(each):
            journal.emit(run, "image", "pull", f"{writer}-{number}")

    writers = [threading.Thread(target=tell, args=(writer,)) for writer in range(3)]
    for writer in writers:
        writer.start()
    found = [next(reader) for _ in range(3 * each)]
    reader.close()
    for writer in writers:
        writer.join()
    assert sorted(event["Actor"]["ID"] for event in found) == sorted(f"{w}-{n}" for w in range(3) for n in range(each))
    assert [event["timeNano"] for event in found] == sorted(event["timeNano"] for event in found)


def test_a_line_that_was_not_finished_is_left_out(tmp_path: Path) -> None:
    (tmp_path / journal.FILE).write_bytes(b'{"Type":"con\n7\n')
    journal.emit(str(tmp_path), "container", "die", "abc")
    assert [event["Action"] for event in events(str(tmp_path), since=0, until=time.time())] == ["die"]


def test_a_journal_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    journal.emit(str(tmp_path / "run"), "container", "die", "abc")


EVENT = {
    "Type": "container",
    "Action": "health_status: healthy",
    "Actor": {"ID": "abcdef", "Attributes": {"name": "web", "image": "busybox:1", "stage": "test"}},
    "scope": "local",
}


@pytest.mark.parametrize(
    ("texts", "fits"),
    [
        ([], True),
        (["type=container"], True),
        (["type=image"], False),
        (["event=health_status"], True),
        (["event=health_status: unhealthy"], False),
        (["event=health"], True),
        (["event=start", "event=health_status"], True),
        (["container=web"], True),
        (["container=abc"], True),
        (["container=db"], False),
        (["image=busybox"], True),
        (["image=busybox:2"], False),
        (["label=stage"], True),
        (["label=stage=test", "label=other"], False),
        (["network=web"], False),
    ],
)
def test_filters(texts: list[str], fits: bool) -> None:
    assert Filters(texts).match(EVENT) is fits


@pytest.mark.parametrize("text", ["type", "colour=red"])
def test_filters_that_are_none(text: str) -> None:
    with pytest.raises(InvalidArgument):
        Filters([text])

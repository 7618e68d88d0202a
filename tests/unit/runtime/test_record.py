"""Container records: ids, locks, atomic documents, and the status that is derived from what is there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from utsuwa.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound
from utsuwa.runtime import record
from utsuwa.runtime.process import start_time


@pytest.fixture
def store(tmp_path: Path) -> record.Store:
    return record.Store(str(tmp_path / "root"))


def document(**changes: object) -> record.Document:
    values = {
        "id": "one",
        "ociVersion": "1.0.2",
        "bundle": "/b",
        "rootfs": "/b/rootfs",
        "created": "2026-01-01T00:00:00Z",
    }
    return record.Document(**(values | changes))


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"]) as running:
        yield running
        running.kill()


@pytest.mark.parametrize("identifier", ["a", "A-b_c.d+1", "." * 3, "x" * 255])
def test_ids(identifier: str) -> None:
    record.check_id(identifier)


@pytest.mark.parametrize(
    "identifier", ["", ".", "..", "a/b", "a b", "a\0", "ü", "x" * 256, record.FILTERS, record.DRAFTS]
)
def test_what_is_no_id(identifier: str) -> None:
    with pytest.raises(InvalidArgument, match="container"):
        record.check_id(identifier)


def test_a_directory_is_the_owners_and_a_root_is_private(store: record.Store) -> None:
    container = store.create("one")
    assert os.stat(store.root).st_mode & 0o777 == 0o700
    assert os.stat(container.path).st_mode & 0o777 == 0o711


def test_an_id_is_taken_while_its_creator_works_and_after(store: record.Store) -> None:
    container = store.create("one")
    container.announce(document())
    with pytest.raises(Conflict, match="container with given ID already exists"):
        store.create("one")
    container.save(pid=1, startTime=1)
    container.complete()
    container.unlock()
    with pytest.raises(Conflict, match="already exists"):
        store.create("one")


def test_what_a_killed_creator_left_is_replaced(store: record.Store) -> None:
    container = store.create("one")
    container.announce(document())
    container.unlock()  # as the kernel does when the process dies
    again = store.create("one")
    assert os.listdir(again.path) == []


def test_a_document_comes_back(store: record.Store) -> None:
    container = store.create("one")
    container.announce(document(annotations={"a": "ü"}))
    container.save(pid=5, startTime=6)
    assert store.open("one").document == document(annotations={"a": "ü"}, pid=5, startTime=6)
    assert sorted(os.listdir(container.path)) == [record.INTENT, record.STATE]


def test_a_damaged_document_is_told(store: record.Store) -> None:
    container = store.create("one")
    for content in ("", "{", '{"id": 5}'):
        Path(container.path, record.STATE).write_text(content)
        with pytest.raises(FailedPrecondition, match="state of container one is damaged"):
            store.open("one")


def test_a_container_that_is_not_there(store: record.Store) -> None:
    for missing in ("one", "two"):
        with pytest.raises(NotFound, match=f"container {missing} does not exist"):
            store.open(missing)


def test_status_is_derived(store: record.Store, sleeper: subprocess.Popen[bytes]) -> None:
    container = store.create("one")
    container.announce(document())
    seen = store.open("one")
    assert seen.status() == record.CREATING
    container.save(pid=sleeper.pid, startTime=start_time(sleeper.pid))
    Path(container.path, record.SOCKET).touch()
    container.complete()
    container.unlock()
    assert store.open("one").status() == record.CREATED
    os.unlink(f"{container.path}/{record.SOCKET}")
    assert store.open("one").status() == record.RUNNING
    sleeper.kill()
    sleeper.wait()
    assert store.open("one").status() == record.STOPPED


def test_another_process_with_the_same_pid_is_not_the_container(
    store: record.Store, sleeper: subprocess.Popen[bytes]
) -> None:
    container = store.create("one")
    container.announce(document())
    container.save(pid=sleeper.pid, startTime=(start_time(sleeper.pid) or 0) + 1)
    container.complete()
    assert container.status() == record.STOPPED


def test_a_lock_excludes_and_notices_deletion(store: record.Store) -> None:
    container = store.create("one")
    other = record.Container(container.path, "one")
    assert not other.try_lock()
    container.remove()
    container.unlock()
    with pytest.raises(NotFound):
        other.lock()


def test_names_are_sorted_and_leave_the_filters_out(store: record.Store) -> None:
    assert store.names() == []
    for name in ("b", "a"):
        store.create(name)
    os.mkdir(store.filters)
    Path(store.root, "file").touch()
    assert store.names() == ["a", "b"]


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    record.replace_file(str(path), b"1", 0o644)
    record.replace_file(str(path), b"22", 0o644)
    assert path.read_bytes() == b"22"
    with pytest.raises(NotFound, match="nowhere"):
        record.replace_file(str(tmp_path / "nowhere/pid"), b"1", 0o644)
    assert os.listdir(tmp_path) == ["pid"]

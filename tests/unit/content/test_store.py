"""Blobs: what comes in is what was promised, or nothing comes in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.archives import digest
from utsuwa.content.store import ContentStore
from utsuwa.errors import Internal, NotFound, Unavailable

DATA = os.urandom(10_000)
NAME = digest(DATA)


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    return ContentStore(str(tmp_path / "content"))


def _left(store: ContentStore) -> list[str]:
    return sorted(name for _, _, names in os.walk(store.root) for name in names)


def test_a_blob_comes_in_by_pieces(store: ContentStore) -> None:
    taken = store.ingest(NAME, len(DATA))
    assert taken
    with taken:
        for at in range(0, len(DATA), 999):
            taken.write(DATA[at : at + 999])
        assert taken.offset == len(DATA)
        assert not store.has(NAME)
        taken.commit()
    assert store.has(NAME)
    assert (store.size(NAME), store.read(NAME), list(store.walk())) == (len(DATA), DATA, [(NAME, len(DATA))])
    fd = store.open(NAME)
    assert os.read(fd, 10) == DATA[:10]
    os.close(fd)
    assert (store.delete(NAME), store.delete(NAME)) == (len(DATA), 0)
    assert _left(store) == []


@pytest.mark.parametrize(
    ("data", "size", "text"),
    [
        (DATA[:-1], len(DATA), "got 9999 of"),
        (DATA + b"x", len(DATA), "more than"),
        (DATA[::-1], len(DATA), "another digest"),
    ],
)
def test_what_was_not_promised_leaves_nothing(store: ContentStore, data: bytes, size: int, text: str) -> None:
    taken = store.ingest(NAME, size)
    assert taken
    with pytest.raises(Unavailable, match=text), taken:
        taken.write(data)
        taken.commit()
    assert _left(store) == []
    assert not store.has(NAME)


def test_one_at_a_time(store: ContentStore) -> None:
    first = store.ingest(NAME)
    assert first
    assert store.ingest(NAME) is None
    with pytest.raises(Unavailable, match="another process"):
        store.add(DATA)
    first.write(DATA)
    first.commit()
    assert store.has(NAME)
    again = store.ingest(NAME)
    assert again, "the lock of a committed blob is free"
    again.close()
    assert store.read(NAME) == DATA, "and taking it again does not touch the blob"


def test_durability_is_marked_and_what_is_not_is_hashed_again(store: ContentStore) -> None:
    store.add(DATA)
    assert os.stat(store.path(NAME)).st_mode & 0o777 == 0o600
    store.settle([NAME])
    assert os.stat(store.path(NAME)).st_mode & 0o777 == 0o444
    other = store.add(b"other")
    with open(store.path(other), "r+b") as blob:
        blob.write(b"OTHER")
    assert not store.has(other), "cut off by a power failure, say"
    assert not os.path.exists(store.path(other))
    with pytest.raises(NotFound):
        store.settle([other])


def test_reading_damage_is_our_own_error(store: ContentStore) -> None:
    store.add(DATA)
    with open(store.path(NAME), "r+b") as blob:
        blob.write(b"damage")
    with pytest.raises(Internal, match="damaged blob"):
        store.read(NAME)
    with pytest.raises(Internal, match="larger"):
        store.read(NAME, limit=10)


def test_a_missing_blob_is_named(store: ContentStore) -> None:
    for ask in (store.size, store.open, store.read):
        with pytest.raises(NotFound, match=f"no blob {NAME}"):
            ask(NAME)
    assert not store.has(NAME)
    assert list(store.walk()) == []


def test_sweeping_takes_what_nobody_holds(store: ContentStore) -> None:
    held = store.ingest(NAME)
    assert held
    Path(store.root, "ingest", "sha256-dead").write_bytes(b"x")
    store.sweep()
    assert os.listdir(f"{store.root}/ingest") == [f"sha256-{NAME[7:]}"]
    held.close()


def test_a_full_disk_is_said_clearly(store: ContentStore) -> None:
    taken = store.ingest(NAME, len(DATA))
    assert taken
    with taken:
        full, taken.fd = taken.fd, os.open("/dev/full", os.O_WRONLY)
        with pytest.raises(Unavailable, match="no space left"):
            taken.write(DATA)
        os.close(taken.fd)
        taken.fd = full
    assert _left(store) == []

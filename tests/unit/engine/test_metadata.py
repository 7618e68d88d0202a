"""Containers on disk: found, named, left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from utsuwa.engine.metadata import ContainerRecord, Metadata
from utsuwa.engine.paths import Paths
from utsuwa.errors import Conflict, NotFound


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(str(tmp_path / "root"), str(tmp_path / "run"))


def make(metadata: Metadata, identifier: str, name: str) -> ContainerRecord:
    record = ContainerRecord(
        id=identifier, name=name, createdAt=f"2024-01-01T00:00:0{name[-1]}Z", image="i", imageId="s"
    )
    lock = metadata.begin(identifier)
    metadata.claim(name, identifier)
    metadata.save(record)
    os.close(lock)
    return record


def test_find(paths: Paths) -> None:
    metadata = Metadata(paths)
    first, second = make(metadata, "ab" * 32, "box1"), make(metadata, "ac" * 32, "box2")
    for reference in ("ab" * 32, "box1", "/box1", "ab"):
        assert metadata.find(reference) == first
    with pytest.raises(Conflict, match="Multiple IDs"):
        metadata.find("a")
    for reference in ("", "x", "../etc", "box"):
        with pytest.raises(NotFound):
            metadata.find(reference)
    assert metadata.all() == [second, first]


def test_a_name_is_taken_until_its_container_is_gone(paths: Paths) -> None:
    metadata = Metadata(paths)
    make(metadata, "a" * 64, "box1")
    with pytest.raises(Conflict, match="is already in use"):
        metadata.claim("box1", "b" * 64)
    os.unlink(f"{paths.container('a' * 64)}/container.json")
    os.rmdir(paths.container("a" * 64))
    metadata.claim("box1", "b" * 64)


def test_what_nobody_works_on_is_abandoned(paths: Paths) -> None:
    metadata = Metadata(paths)
    make(metadata, "a" * 64, "box1")
    lock = metadata.begin("b" * 64)
    assert metadata.abandoned() == []
    os.close(lock)
    assert metadata.abandoned() == ["b" * 64]

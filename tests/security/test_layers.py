"""Layers that cost nothing to send and everything to keep (what is refused at once: tests/unit/snapshot)."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.archives import archive, directory, file, hardlink, pax
from tests.needs import needs
from tests.unit.snapshot.conftest import Apply, layer, unpack  # noqa: F401  # fixtures
from tests.unit.snapshot.test_layers import _commit, _stage, blob_of, store  # noqa: F401  # fixtures
from utsuwa.engine.copyup import copy_up
from utsuwa.errors import NotFound, Unavailable
from utsuwa.image.load import load_layout
from utsuwa.image.store import ImageStore
from utsuwa.snapshot import below, copy, extents
from utsuwa.snapshot.apply import Outcome
from utsuwa.snapshot.layers import LayerStore

pytestmark = needs("root")

SIZE = 1 << 40
HOLE = (pax({"GNU.sparse.size": b"%d" % SIZE, "GNU.sparse.map": b""}), file("volume/hole"))
FEW_BLOCKS = 4096


def _is_still_a_hole(path: Path) -> None:
    state = path.stat()
    assert state.st_size == SIZE and state.st_blocks * 512 <= FEW_BLOCKS


def test_a_hole_that_a_higher_layer_links_to(store: LayerStore, blob_of: Callable[[bytes], int]) -> None:  # noqa: F811
    """A file of a terabyte, all hole, must not become one of zeros because the next layer has a hard link to it.

    Proven: it did until this test was written, until the disk was full (the test then fails with Unavailable).
    """
    linked = archive(hardlink("again", "volume/hole"))
    top = _commit(store, _stage(store, blob_of, archive(*HOLE), linked))
    _is_still_a_hole(top / "again")


def test_links_look_at_the_disk(
    store: LayerStore,  # noqa: F811
    blob_of: Callable[[bytes], int],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hundred layers that each link to one large file would fill the disk with its copies.

    Proven: with room enough the link is made.
    """
    layers = archive(file("a", b"x" * 5000)), archive(hardlink("b", "a"))
    stagings = _stage(store, blob_of, *layers)
    monkeypatch.setattr(extents, "RESERVE", 1 << 60)
    with pytest.raises(Unavailable, match="no space left"):
        _commit(store, stagings)
    for staging in stagings:
        staging.close()
    monkeypatch.undo()
    assert (_commit(store, _stage(store, blob_of, *layers)) / "b").read_bytes() == b"x" * 5000


def test_a_bomb_to_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compressed archive of 30 kB that is a layout of 30 MB, or of 30 TB: the disk is not filled to its last byte.

    Proven: with room enough it is read, and is no layout.
    """
    bomb = tmp_path / "bomb"
    bomb.write_bytes(gzip.compress(archive(file("zeros", bytes(30 << 20)))))
    images = ImageStore(str(tmp_path / "store"))
    with pytest.raises(NotFound, match="is it an OCI layout"):
        load_layout(images, str(bomb))
    monkeypatch.setattr(extents, "RESERVE", 1 << 60)
    with pytest.raises(Unavailable, match="no space left"):
        load_layout(images, str(bomb))
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file() and path.stat().st_size > 4096] == []


@pytest.mark.parametrize("how", ["volume", "snapshot"])
def test_a_hole_that_is_copied(
    store: LayerStore,  # noqa: F811
    blob_of: Callable[[bytes], int],  # noqa: F811
    tmp_path: Path,
    how: str,
) -> None:
    """The same when a volume is filled from the image, and by the snapshotter that copies. Proven as above."""
    tree = _commit(store, _stage(store, blob_of, archive(*HOLE, file("volume/data", b"data" * 999))))
    out = tmp_path / "out"
    out.mkdir()
    if how == "volume":
        copy_up([str(tree)], "/volume", str(out))
    else:
        copy.merge(str(tree), str(out))
        out = out / "volume"
    _is_still_a_hole(out / "hole")
    assert (out / "data").read_bytes() == b"data" * 999


def test_data_around_holes_arrives(tmp_path: Path) -> None:
    """Every byte is where it was, by whichever way it is copied."""
    source = tmp_path / "source"
    with open(source, "wb") as made:
        for place in (0, 70_000, 1 << 21, (1 << 30) + 1):
            made.seek(place)
            made.write(b"here %d" % place)
        made.truncate(1 << 31)
    parent, fd = os.open(tmp_path, os.O_RDONLY), os.open(source, os.O_RDONLY)
    try:
        assert below.copy_file(fd, parent, b"copy") == 1 << 31
        for place in (0, 70_000, 1 << 21, (1 << 30) + 1):
            copied = os.open(tmp_path / "copy", os.O_RDONLY)
            assert os.pread(copied, 100, place).rstrip(b"\0") == b"here %d" % place
            os.close(copied)
        assert (tmp_path / "copy").stat().st_blocks == source.stat().st_blocks
    finally:
        os.close(parent)
        os.close(fd)


class _Unwalked(set):  # type: ignore[type-arg]
    """A set that is too large to be looked through for every entry."""

    def __iter__(self):  # type: ignore[no-untyped-def]
        raise AssertionError("looked through everything")


def test_replacing_directories_costs_what_they_hold(
    unpack: Apply,  # noqa: F811
    layer: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A directory that is replaced by a file again and again, among a million others: each time costs what was in it.

    Proven: until this test was written, all directories of the archive were looked through each time.
    """
    real = Outcome.__init__

    def unwalked(self: Outcome) -> None:
        real(self)
        self.implicit = _Unwalked(self.implicit)

    monkeypatch.setattr(Outcome, "__init__", unwalked)
    again = [directory("d"), file("d/x/y"), file("d")]
    outcome = unpack(
        archive(directory("kept"), file("parent/child"), *again * 3, file("d2/e/f"), file("d2/e"), directory("d"))
    )
    monkeypatch.undo()
    assert set.__contains__(outcome.implicit, b"parent") and not set.__contains__(outcome.implicit, b"d/x")
    assert set.__contains__(outcome.implicit, b"d2") and not set.__contains__(outcome.implicit, b"d2/e")
    assert sorted(os.listdir(layer)) == ["d", "d2", "kept", "parent"] and (layer / "d2/e").is_file()

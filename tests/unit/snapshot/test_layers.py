"""Layers in the making and committed: workers, what comes from lower layers, locks, and what the killed leave."""

from __future__ import annotations

import gzip
import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.archives import archive, digest, directory, file, hardlink, header, pax
from tests.needs import needs
from utsuwa.errors import Error, InvalidArgument, NotFound, Unavailable
from utsuwa.snapshot.layers import LayerStore, Staging
from utsuwa.snapshot.unpack import Unpacking
from utsuwa.spec.image import chain_ids

pytestmark = needs("root")


@pytest.fixture
def store(tmp_path: Path) -> LayerStore:
    return LayerStore(str(tmp_path / "snapshots"))


@pytest.fixture
def blob_of(tmp_path: Path) -> Iterator[Callable[[bytes], int]]:
    opened = []

    def write(data: bytes) -> int:
        path = tmp_path / f"blob{len(opened)}"
        path.write_bytes(data)
        opened.append(os.open(path, os.O_RDONLY))
        return opened[-1]

    yield write
    for fd in opened:
        os.close(fd)


def _stage(store: LayerStore, blob_of: Callable[[bytes], int], *layers: bytes) -> list[Staging]:
    diff_ids = tuple(digest(layer) for layer in layers)
    chain = ("", *chain_ids(diff_ids))
    stagings = []
    for place, layer in enumerate(layers):
        staging = store.begin(chain[place + 1], chain[place], diff_ids[place])
        assert staging
        stagings.append(staging)
        _unpack(staging, blob_of, gzip.compress(layer))
    return stagings


def _unpack(staging: Staging, blob_of: Callable[[bytes], int], data: bytes) -> None:
    unpacking = Unpacking(staging, blob_of(data))
    try:
        unpacking.announce(len(data))
        unpacking.complete()
        unpacking.wait()
    finally:
        unpacking.close()


def _commit(store: LayerStore, stagings: list[Staging]) -> Path:
    store.commit(stagings, lambda _path: None)
    return Path(store.tree(stagings[-1].name))


def test_layers_are_committed_from_the_base_up(store: LayerStore, blob_of: Callable[[bytes], int]) -> None:
    stagings = _stage(store, blob_of, archive(file("a", b"x")), archive(file("b", b"yy")))
    assert not store.has(stagings[0].name)
    flushed: list[str] = []
    store.commit(stagings, flushed.append)
    assert flushed == [store.root]
    assert store.stack(stagings[1].name) == [stagings[1].name, stagings[0].name]
    assert store.get(stagings[1].name).size == 2
    assert sorted(store.walk()) == sorted(staging.name for staging in stagings)
    assert os.listdir(f"{store.root}/unpacking") == []


def test_a_blob_is_read_while_it_arrives(store: LayerStore, tmp_path: Path) -> None:
    layer = archive(*(file(f"f{number}", os.urandom(5000)) for number in range(50)))
    data = gzip.compress(layer)
    staging = store.begin(digest(layer), "", digest(layer))
    assert staging
    with open(tmp_path / "arriving", "w+b", buffering=0) as blob:
        unpacking = Unpacking(staging, blob.fileno())
        for at in range(0, len(data), 10_000):
            blob.write(data[at : at + 10_000])
            unpacking.announce(len(data[at : at + 10_000]))
        unpacking.complete()
        unpacking.wait()
        unpacking.close()
    assert staging.outcome and staging.outcome.entries == 50
    staging.close()


@pytest.mark.parametrize(
    ("data", "diff_id", "error", "text"),
    [
        (gzip.compress(archive(file("a"))), digest(b"other"), Unavailable, "the image says"),
        (gzip.compress(archive(file("../a"))), None, InvalidArgument, r"\.\. leads out"),
        (b"\x1f\x8b\x08 nonsense", None, InvalidArgument, "gzip"),
    ],
)
def test_a_worker_says_what_is_wrong_and_leaves_nothing(
    store: LayerStore, blob_of: Callable[[bytes], int], data: bytes, diff_id: str | None, error: type[Error], text: str
) -> None:
    name = diff_id or digest(data)
    staging = store.begin(name, "", name)
    assert staging
    with pytest.raises(error, match=text) as caught:
        _unpack(staging, blob_of, data)
    assert name in str(caught.value)
    assert os.listdir(staging.path) == []
    staging.close()
    assert os.listdir(f"{store.root}/unpacking") == []


def test_a_worker_given_up_takes_its_files_along(store: LayerStore, blob_of: Callable[[bytes], int]) -> None:
    data = archive(file("a", b"x"), file("b", b"y" * 100_000))
    staging = store.begin(digest(data), "", digest(data))
    assert staging
    unpacking = Unpacking(staging, blob_of(data))
    unpacking.announce(2048)
    unpacking.close()
    assert os.listdir(staging.path) == []
    staging.close()


def test_a_killed_worker_is_reported(store: LayerStore, blob_of: Callable[[bytes], int]) -> None:
    staging = store.begin(digest(b""), "", digest(b""))
    assert staging
    unpacking = Unpacking(staging, blob_of(b""))
    os.kill(unpacking._pid, signal.SIGKILL)
    with pytest.raises(Error, match="died"):
        unpacking.wait()
    unpacking.close()
    staging.close()
    assert os.listdir(f"{store.root}/unpacking") == []


def test_assumed_directories_take_their_attributes_from_below(
    store: LayerStore, blob_of: Callable[[bytes], int]
) -> None:
    base = archive(directory("./", 0o751), directory("var"), directory("var/secret", 0o700), file("var/secret/a"))
    top = archive(file("var/secret/b"), file("fresh/c"))
    tree = _commit(store, _stage(store, blob_of, base, archive(), top))
    assert stat.S_IMODE((tree / "var/secret").stat().st_mode) == 0o700
    assert stat.S_IMODE(tree.stat().st_mode) == 0o751
    assert stat.S_IMODE((tree / "fresh").stat().st_mode) == 0o755


def test_hard_links_reach_into_lower_layers(store: LayerStore, blob_of: Callable[[bytes], int]) -> None:
    base = archive(directory("d", 0o711), pax({"SCHILY.xattr.user.a": b"b"}), file("d/f", b"content", mode=0o640))
    tree = _commit(store, _stage(store, blob_of, base, archive(hardlink("one", "d/f"), hardlink("x/two", "d/f"))))
    assert (tree / "one").read_bytes() == b"content"
    assert {(tree / name).stat().st_ino for name in ("one", "x/two", "d/f")} == {(tree / "one").stat().st_ino}
    assert stat.S_IMODE((tree / "one").stat().st_mode) == 0o640
    assert stat.S_IMODE((tree / "d").stat().st_mode) == 0o711
    assert os.getxattr(tree / "one", "user.a") == b"b"


@pytest.mark.parametrize(
    ("base", "middle", "target", "text"),
    [
        (archive(file("a")), archive(file(".wh.a")), "a", "in no layer"),
        (archive(file("d/a")), archive(directory("d"), file("d/.wh..wh..opq")), "d/a", "in no layer"),
        (archive(file("d/a")), archive(file("d")), "d/a", "in no layer"),
        (archive(), archive(), "a", "in no layer"),
        (archive(header(b"s", b"2", link=b"/etc/passwd")), archive(), "s", "no regular file"),
        (archive(header(b"s", b"2", link=b"/etc")), archive(), "s/passwd", "in no layer"),
        (archive(directory("d")), archive(), "d", "no regular file"),
    ],
)
def test_hard_links_to_nothing_are_refused(
    store: LayerStore, blob_of: Callable[[bytes], int], base: bytes, middle: bytes, target: str, text: str
) -> None:
    stagings = _stage(store, blob_of, base, middle, archive(hardlink("link", target)))
    with pytest.raises(InvalidArgument, match=text):
        _commit(store, stagings)
    for staging in stagings:
        staging.close()
    assert os.listdir(f"{store.root}/unpacking") == []
    assert list(store.walk()) == []


def test_a_layer_is_made_by_one_process_at_a_time(store: LayerStore) -> None:
    name = digest(b"x")
    first = store.begin(name, "", name)
    assert first
    assert store.begin(name, "", name) is None
    first.close()
    second = store.begin(name, "", name)
    assert second
    second.close()


def test_what_killed_processes_left_is_swept_and_what_lives_is_not(store: LayerStore) -> None:
    alive = store.begin(digest(b"alive"), "", digest(b"alive"))
    dead = Path(store.root) / "unpacking" / "sha256-dead"
    (dead / "tree/deep/er").mkdir(parents=True)
    store.sweep()
    assert not dead.exists()
    assert alive and os.path.isdir(alive.path)
    alive.close()


def test_removal(store: LayerStore, blob_of: Callable[[bytes], int]) -> None:
    staging = _stage(store, blob_of, archive(file("a/b/c", b"xyz"), file("a/d")))
    _commit(store, staging)
    assert store.remove(staging[0].name) == 3
    assert store.remove(staging[0].name) == 0
    assert not store.has(staging[0].name)
    with pytest.raises(NotFound, match="pull its image again"):
        store.get(staging[0].name)


def test_a_shared_guard_keeps_the_collector_out(store: LayerStore) -> None:
    shared, again = store.guard(), store.guard()
    assert store.guard(exclusive=True) is None
    for fd in (shared, again):
        assert fd is not None
        os.close(fd)
    alone = store.guard(exclusive=True)
    assert alone is not None
    os.close(alone)

"""Image records: names, IDs, removal, and what removal may not take along."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import archives
from tests.archives import archive, file
from tests.needs import needs
from utsuwa.errors import Conflict, InvalidArgument, NotFound
from utsuwa.image.install import timestamp
from utsuwa.image.load import load_layout
from utsuwa.image.remove import remove
from utsuwa.image.store import Image, ImageStore

pytestmark = needs("root")

BASE, UPPER = archive(file("a", b"base")), archive(file("b", b"upper"))


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(str(tmp_path / "root"))


def _load(store: ImageStore, *layers: bytes, name: str) -> Image:
    path = Path(store.root + ".tar")
    path.write_bytes(archives.layout(archives.image(*layers, settings={"Env": [name]})))
    return load_layout(store, str(path), name)


def test_names_and_ids(store: ImageStore) -> None:
    image = _load(store, BASE, UPPER, name="app:1")
    assert (image.names, image.digests, image.size, len(image.chain)) == (("app:1",), (), 9, 2)
    digits = image.id.removeprefix("sha256:")
    for name in ("app:1", "docker.io/library/app:1", image.id, digits, digits[:12], f"sha256:{digits[:3]}"):
        assert store.resolve(name).id == image.id
    for name in ("app", "app:2", "sha256:" + "0" * 64, "f" * 64):
        with pytest.raises(NotFound, match="pull it first"):
            store.resolve(name)
    with pytest.raises(InvalidArgument):
        store.resolve("No Name")


def test_ambiguous_ids(store: ImageStore) -> None:
    for number in range(17):  # two of them begin with the same digit
        _load(store, BASE, name=f"app:{number}")
    firsts = [image.id[7] for image in store.list()]
    shared = next(digit for digit in firsts if firsts.count(digit) > 1)
    with pytest.raises(Conflict, match="ambiguous"):
        store.resolve(shared)


def test_tags(store: ImageStore) -> None:
    image = _load(store, BASE, name="app:1")
    store.tag("app:1", "other")
    store.tag(image.id, "r.io/x:2")
    assert store.resolve("other").names == ("app:1", "other:latest", "r.io/x:2")
    moved = _load(store, UPPER, name="other:latest")
    assert store.resolve("other").id == moved.id
    assert store.resolve("app:1").names == ("app:1", "r.io/x:2")
    with pytest.raises(InvalidArgument, match="refusing to create a tag"):
        store.tag("app:1", f"app@{image.id}")
    with pytest.raises(NotFound):
        store.tag("missing", "x")
    with pytest.raises(InvalidArgument, match="250 characters"):
        store.tag("app:1", f"{'x' * 200}:{'y' * 100}")


def test_nothing_is_collected_while_a_pull_holds_its_lease(store: ImageStore) -> None:
    image = _load(store, BASE, name="one")
    lease = store.lease()
    assert remove(store, "one", {}).deleted == (image.id,)
    assert store.snapshotter.layers.has(image.top)
    os.close(lease)
    assert store.collect() == (image.top,)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-02T03:04:05Z", 1767323045),
        ("2026-01-02T03:04:05.123456789Z", 1767323045),
        ("2026-01-02T05:04:05.5+02:00", 1767323045),
        ("1970-01-01T00:00:00Z", 0),
        ("0001-01-01T00:00:00Z", -62135596800),
        ("", 0),
        ("yesterday", 0),
    ],
)
def test_times(text: str, seconds: int) -> None:
    assert timestamp(text) == seconds

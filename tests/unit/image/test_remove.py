"""Removing images: names first, then the image and what only it needs, unless something stands on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import archives
from tests.archives import archive, file
from tests.needs import needs
from utsuwa.errors import Conflict, NotFound
from utsuwa.image.load import load_layout
from utsuwa.image.make import derive
from utsuwa.image.remove import Removal, Use, remove
from utsuwa.image.store import Image, ImageStore, Kept
from utsuwa.spec import reference
from utsuwa.spec.image import History

pytestmark = needs("root")

BASE, UPPER = archive(file("a", b"base")), archive(file("b", b"upper"))
DIGEST = "sha256:" + "1" * 64


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(str(tmp_path / "root"))


def _load(store: ImageStore, *layers: bytes, name: str) -> Image:
    path = Path(store.root + ".tar")
    path.write_bytes(archives.layout(archives.image(*layers, settings={"Env": [name]})))
    return load_layout(store, str(path), name)


def _child(store: ImageStore, parent: Image, name: str = "") -> Image:
    names = [reference.parse(name).tagged()] if name else []
    config = parent.config.replace(author=f"{name} of {parent.id}")
    return derive(store, parent, None, config, History(created_by=name), names)


def _stopped(image: Image) -> dict[str, Use]:
    return {image.id: Use(container="c" * 64)}


def _running(image: Image) -> dict[str, Use]:
    return {image.id: Use(container="c" * 64, running=True)}


def test_names_go_first_then_the_image_and_what_only_it_needs(store: ImageStore) -> None:
    first, second = _load(store, BASE, name="one"), _load(store, BASE, UPPER, name="two")
    store.tag("one", "again")
    assert remove(store, "one", {}) == Removal(untagged=("one:latest",), images=(), layers=())
    assert store.resolve("again").id == first.id
    assert remove(store, "two", {}).deleted == (second.id, second.chain[1])
    assert store.snapshotter.layers.has(first.chain[0])
    assert remove(store, first.id[:19], {}).untagged == ("again:latest",)
    assert list(store.content.walk()) == list(store.snapshotter.layers.walk()) == []
    with pytest.raises(NotFound):
        remove(store, "two", {})


def test_an_id_of_several_repositories_must_be_forced(store: ImageStore) -> None:
    image = _load(store, BASE, name="one:1")
    store.tag("one:1", "two")
    with pytest.raises(Conflict, match=r"unable to delete \w{12} \(must be forced\) - image is referenced in multiple"):
        remove(store, image.id[7:20], {})
    assert remove(store, image.id, {}, force=True).untagged == ("one:1", "two:latest")
    assert store.list() == []


def test_the_last_tag_takes_the_digests_of_its_repository_along(store: ImageStore) -> None:
    image = _load(store, BASE, name="one:1")
    store.put(image.record, [(reference.parse("two:1"), DIGEST)])
    store.tag("two:1", "two:2")
    assert store.resolve(f"two@{DIGEST}").digests == (f"two@{DIGEST}",)
    assert remove(store, "two:1", {}).untagged == ("two:1",)
    assert remove(store, "two:2", {}).untagged == ("two:2", f"two@{DIGEST}")
    assert store.resolve("one:1").names == ("one:1",)


def test_a_moved_tag_leaves_its_digest_behind(store: ImageStore) -> None:
    first, second = _load(store, BASE, name="one:1"), _load(store, UPPER, name="two")
    store.put(first.record, [(reference.parse("r.io/x:1"), DIGEST)])
    store.put(second.record, [(reference.parse("r.io/x:1"), DIGEST.replace("1", "2"))])
    assert store.resolve("one:1").digests == (f"r.io/x@{DIGEST}",)
    assert remove(store, f"r.io/x@{DIGEST}", {}).untagged == (f"r.io/x@{DIGEST}",)


def test_a_stopped_container_must_be_overridden(store: ImageStore) -> None:
    image = _load(store, BASE, name="one")
    store.snapshotter.prepare("c1", image.top)
    with pytest.raises(Conflict, match=r'unable to remove repository reference "one" \(must force\) - container c{12}'):
        remove(store, "one", _stopped(image))
    with pytest.raises(Conflict, match=r"\(must be forced\) - image is being used by stopped container c{12}$"):
        remove(store, image.id, _stopped(image))
    assert remove(store, "one", _stopped(image), force=True).deleted == (image.id,)
    assert store.snapshotter.mounts("c1")
    store.snapshotter.remove("c1")
    assert store.collect() == (image.top,)


def test_a_running_container_keeps_its_image_but_not_the_name(store: ImageStore) -> None:
    image = _load(store, BASE, name="one")
    with pytest.raises(Conflict, match=r"\(cannot be forced\) - image is being used by running container"):
        remove(store, image.id, _running(image), force=True)
    assert remove(store, "one", _running(image), force=True) == Removal(untagged=("one:latest",), images=(), layers=())
    assert store.resolve(image.id).names == ()


def test_children_keep_their_parent_and_take_it_along_in_the_end(store: ImageStore) -> None:
    base = _load(store, BASE, name="base")
    middle = _child(store, base)
    child = _child(store, middle, "child")
    with pytest.raises(Conflict, match=r"\(cannot be forced\) - image has dependent child images"):
        remove(store, middle.id, {}, force=True)
    assert remove(store, "base", {}) == Removal(untagged=("base:latest",), images=(), layers=())
    assert remove(store, "child", {}, prune=False).deleted == (child.id,)
    again = _child(store, middle, "again")
    assert remove(store, "again", {}).deleted == (again.id, middle.id, base.id, base.top)


def test_pruning_stops_at_a_parent_with_a_name(store: ImageStore) -> None:
    base = _load(store, BASE, name="base")
    child = _child(store, base, "child")
    assert remove(store, "child", {}).deleted == (child.id,)
    assert store.resolve("base").id == base.id


def test_what_is_kept_is_not_collected(store: ImageStore) -> None:
    image = _load(store, BASE, name="one")
    blobs = image.record.blobs
    store.keep("build", Kept(blobs=blobs[:1], layers=image.chain))
    remove(store, "one", {})
    assert store.content.has(blobs[0]) and not store.content.has(blobs[1])
    assert store.snapshotter.layers.has(image.top)
    store.keep("build", None)
    store.collect()
    assert list(store.content.walk()) == list(store.snapshotter.layers.walk()) == []


def test_records_that_were_never_put_in_place_are_no_records(store: ImageStore) -> None:
    image = _load(store, BASE, name="one")
    for folder in ("by-id", "by-name", "kept"):
        Path(store.root, "images", folder).mkdir(exist_ok=True)
        Path(store.root, "images", folder, ".half.json").write_text("{")
    assert [each.id for each in store.list()] == [image.id] and store.kept() == {}
    store.collect()
    assert not list(Path(store.root, "images").rglob(".*"))

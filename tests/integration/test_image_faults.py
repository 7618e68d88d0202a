"""Killed at every step: whatever is being done to images, nothing is lost and nothing stays behind."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import archives
from tests.archives import archive, directory, file
from tests.integration.household import IMAGE, Household, until
from tests.needs import needs
from utsuwa.engine import commit
from utsuwa.engine.images import Images
from utsuwa.engine.metadata import Metadata
from utsuwa.engine.paths import Paths
from utsuwa.image.load import load
from utsuwa.image.make import derive
from utsuwa.image.remove import remove
from utsuwa.image.store import ImageStore, Kept
from utsuwa.spec import reference
from utsuwa.spec.image import History

pytestmark = [needs("root", "overlay", "busybox")]

BASE = archive(directory("etc"), file("etc/base", b"base"))
UPPER = archive(file("etc/upper", b"upper"), file("etc/.wh.base"))
OTHER = archives.image(BASE, archive(file("other", b"other")), settings={"Env": ["other"]})
_STEPS = frozenset(("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "os.setxattr"))


def _dies_at(step: int, act: Callable[[], object]) -> bool:
    """Do something in a child that is killed right before its ``step``-th change of the disk; False when it ended
    before that.
    """
    child = os.fork()
    if not child:
        seen = 0

        def count(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal seen
            writes = (
                event == "open" and isinstance(arguments[2], int) and bool(arguments[2] & (os.O_CREAT | os.O_WRONLY))
            )
            if event in _STEPS or writes:
                seen += 1
                if seen == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(count)
            act()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), "the child failed by itself"
    return status != 0


def _derive(store: ImageStore) -> None:
    parent = store.resolve("base")
    config = parent.config.replace(author="somebody")
    derive(store, parent, [UPPER], config, History(created_by="x"), [reference.parse("new:1")])


def _check(store: ImageStore) -> None:
    """Everything that is listed is whole."""
    for image in store.list():
        assert len(image.manifest.layers) == len(image.config.rootfs.diff_ids) == len(image.chain)
        for layer in image.manifest.layers:
            store.content.read(layer.digest)
        for name in image.chain:
            assert os.path.isdir(store.snapshotter.layers.tree(name))
    for name in store.names():
        assert store.resolve(name.name).id == name.image


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one image, and an archive with another."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "base.tar").write_bytes(archives.layout(archives.image(BASE, settings={"Env": ["base"]}), "base:latest"))
    (folder / "other.tar").write_bytes(archives.layout(OTHER, "other:1"))
    load(ImageStore(str(folder / "root")), str(folder / "base.tar"))
    return folder


@pytest.mark.parametrize("what", ["derive", "remove", "load", "tag", "keep"])
def test_killed_at_every_step(prepared: Path, tmp_path: Path, what: str) -> None:
    acts: dict[str, Callable[[ImageStore], object]] = {
        "derive": _derive,
        "remove": lambda store: remove(store, "base", {}),
        "load": lambda store: load(store, str(prepared / "other.tar")),
        "tag": lambda store: store.tag("base", "r.io/second:2"),
        "keep": lambda store: store.keep("cache", Kept(layers=store.resolve("base").chain)),
    }
    stride = {"load": 4, "derive": 2}.get(what, 1)  # what takes long has many steps
    step, died = 1 - stride, True
    while died:
        step += stride
        root = tmp_path / str(step)
        shutil.copytree(prepared / "root", root, symlinks=True)
        store = ImageStore(str(root))
        died = _dies_at(step, lambda store=store: acts[what](store))
        _check(store)
        if what != "remove":
            assert store.resolve("base").names[0] == "base:latest"
            acts[what](store)  # it goes well the second time, whatever the first one left
            _check(store)
        store.keep("cache", None)
        for image in sorted(store.list(), key=lambda image: not image.record.parent):  # children first
            if store.record(image.id):  # with a child that has gone, its parent may have gone
                remove(store, image.id, {}, force=True)
        store.collect()
        left = [path for path in root.rglob("*") if path.is_file() and path.name != "lock"]
        assert left == [], (step, left)
        assert not list((root / "snapshots" / "unpacking").iterdir())
        shutil.rmtree(root)
    assert step > 3


def test_loads_while_another_process_collects(prepared: Path, tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path / "root"))
    waiting, held = os.pipe()
    child = os.fork()
    if not child:
        os.close(held)
        os.set_blocking(waiting, False)
        while True:
            try:
                os._exit(0 if os.read(waiting, 1) == b"" else 1)
            except BlockingIOError:
                ImageStore(str(tmp_path / "root")).collect()
    try:
        for _ in range(12):
            for name in ("base", "other"):
                load(store, str(prepared / f"{name}.tar"))
            _derive(store)
            _check(store)
            assert {name for image in store.list() for name in image.names} == {"base:latest", "other:1", "new:1"}
            for image in ("new:1", "base", "other:1"):
                remove(store, image, {}, force=True)
    finally:
        os.close(held)
        _, status = os.waitpid(child, 0)
    assert status == 0


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Household]:
    household = Household(tmp_path)
    household.load(tmp_path)
    yield household
    household.end()


def test_a_container_goes_on_when_its_commit_is_killed(house: Household) -> None:
    house.ok("run", "-d", "--name", "cc", IMAGE, "sleep", "1000")
    paths = Paths(str(house.root), str(house.run_directory))
    record = Metadata(paths).find("cc")
    step = 1
    while _dies_at(step, lambda: commit.commit(paths, Images(paths), record, commit.Asked())):
        until(lambda: house.ok("inspect", "-f", "{{.State.Status}}", "cc") == "running\n")
        step += 4
    assert step > 8
    assert len(ImageStore(str(house.root)).list()) == 2

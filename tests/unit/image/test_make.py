"""Images made here, out of other images and layers."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from tests import archives
from tests.archives import archive, digest, file
from tests.needs import needs
from utsuwa.errors import InvalidArgument
from utsuwa.image import make
from utsuwa.image.load import load_layout
from utsuwa.image.store import Image, ImageStore
from utsuwa.spec import reference
from utsuwa.spec.image import History, ImageConfig, RootFS, Settings

pytestmark = needs("root")

BASE, UPPER = archive(file("a", b"base")), archive(file("b", b"upper"), file(".wh.a"))
CONFIG = ImageConfig(
    architecture="amd64",
    os="linux",
    created="2026-01-02T03:04:05Z",
    rootfs=RootFS(type="layers", diff_ids=()),
    config=Settings(Cmd=("new",)),
)


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(str(tmp_path / "root"))


@pytest.fixture
def base(store: ImageStore, tmp_path: Path) -> Image:
    path = tmp_path / "base.tar"
    path.write_bytes(archives.layout(archives.image(BASE, docker=True)))
    return load_layout(store, str(path), "base")


def _derive(store: ImageStore, base: Image | None, layer: bytes | None, name: str = "new") -> Image:
    chunks = None if layer is None else (layer[at : at + 100] for at in range(0, len(layer), 100))
    return make.derive(store, base, chunks, CONFIG, History(created_by="step"), [reference.parse(name).tagged()])


def test_a_layer_on_top(store: ImageStore, base: Image) -> None:
    made = _derive(store, base, UPPER)
    assert (made.names, made.record.parent, made.size) == (("new:latest",), base.id, 9)
    assert made.config.rootfs.diff_ids == (digest(BASE), digest(UPPER))
    assert made.config.history == (History(created_by="step"),)
    assert made.config.settings.Cmd == ("new",)
    tree = Path(store.snapshotter.layers.tree(made.top))
    assert (tree / "b").read_bytes() == b"upper"
    assert (tree / "b").stat().st_mode & 0o777 == 0o644
    kinds = {layer.mediaType for layer in made.manifest.layers}
    assert kinds == {"application/vnd.oci.image.layer.v1.tar+gzip"}
    blob = store.content.read(made.manifest.layers[1].digest)
    assert gzip.decompress(blob) == UPPER
    assert {os.stat(store.content.path(each)).st_mode & 0o777 for each in made.record.blobs} == {0o444}


def test_the_same_again_is_the_same_image(store: ImageStore, base: Image) -> None:
    made = [_derive(store, base, UPPER, name) for name in ("one", "two")]
    assert made[0].record.manifest == made[1].record.manifest
    assert made[1].names == ("one:latest", "two:latest")
    assert os.listdir(f"{store.root}/snapshots/unpacking") == os.listdir(f"{store.root}/content/ingest") == []


def test_from_nothing_and_without_a_layer(store: ImageStore, base: Image) -> None:
    assert _derive(store, None, BASE).config.rootfs.diff_ids == (digest(BASE),)
    made = _derive(store, base, None)
    assert made.chain == base.chain
    assert made.config.history == (History(created_by="step", empty_layer=True),)


def test_a_broken_layer_leaves_nothing(store: ImageStore, base: Image) -> None:
    for broken in (b"no archive" * 200, UPPER[:700], archive(file("../out"))):
        with pytest.raises(InvalidArgument):
            _derive(store, base, broken)
    assert os.listdir(f"{store.root}/snapshots/unpacking") == os.listdir(f"{store.root}/content/ingest") == []
    assert [image.names for image in store.list()] == [("base:latest",)]


def test_layers_must_stand_on_the_base(store: ImageStore, base: Image) -> None:
    layer = make.add_layer(store, "", [UPPER])
    with pytest.raises(InvalidArgument, match="does not stand on"):
        make.assemble(store, base, [layer], CONFIG)

"""OCI layouts: directories, archives, and what is neither."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
from pathlib import Path

import pytest

from tests import archives
from tests.archives import archive, file
from tests.needs import needs
from utsuwa.errors import Error, InvalidArgument, NotFound, Unavailable
from utsuwa.image.load import load, load_layout
from utsuwa.image.store import ImageStore

pytestmark = needs("root")

MADE = archives.image(archive(file("a", b"x")), archive(file("b", b"y")))


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(str(tmp_path / "root"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "image.tar"


def test_an_archive_with_its_own_name(store: ImageStore, path: Path) -> None:
    path.write_bytes(archives.layout(MADE, "r.io/app:1"))
    image = load_layout(store, str(path))
    assert (image.id, image.names) == (MADE.config, ("r.io/app:1",))
    assert load_layout(store, str(path), "mine").names == ("mine:latest", "r.io/app:1")


def test_what_is_behind_large_members_is_found_without_reading_them(
    store: ImageStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = [file(f"blobs/large{number}", b"x" * (1 << 20)) for number in range(4)]
    path.write_bytes(b"".join(large) + archives.layout(MADE, "r.io/app:1"))
    read: list[int] = []
    original = os.read
    monkeypatch.setattr(os, "read", lambda fd, count: (data := original(fd, count), read.append(len(data)))[0])
    assert load_layout(store, str(path)).names == ("r.io/app:1",)
    assert sum(read) < 1 << 20


@pytest.mark.parametrize("name", [None, "latest"])
def test_a_layout_need_not_have_a_name(store: ImageStore, path: Path, name: str | None) -> None:
    path.write_bytes(gzip.compress(archives.layout(MADE, name)))
    assert load_layout(store, str(path)).names == ()


def test_a_directory(store: ImageStore, path: Path, tmp_path: Path) -> None:
    path.write_bytes(archives.layout(MADE))
    with tarfile.open(path) as tar:
        tar.extractall(tmp_path / "layout")
    image = load_layout(store, str(tmp_path / "layout"), "app")
    assert Path(store.snapshotter.layers.tree(image.top), "b").read_text() == "y"


def _broken(store: ImageStore, path: Path, data: bytes, error: type[Error], text: str) -> None:
    path.write_bytes(data)
    with pytest.raises(error, match=text) as caught:
        load_layout(store, str(path), "app")
    assert str(path) in str(caught.value)
    assert store.list() == []
    assert list(store.snapshotter.layers.walk()) == []


def _with(changes: dict[str, bytes]) -> bytes:
    made = archives.Made(MADE.manifest, MADE.config, MADE.layers, MADE.blobs | changes, MADE.types)
    return archives.layout(made)


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        (b"", NotFound, "is it an OCI layout"),
        (b"nonsense" * 100, InvalidArgument, "octal|checksum"),
        (archive(file("oci-layout", b'{"imageLayoutVersion":"2"}')), InvalidArgument, "must be 1.0.0"),
        (archive(file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')), NotFound, "index.json is not in the archive"),
        (archive(file("manifest.json", b"[]")), NotFound, "no image in the archive"),
        (archive(file("manifest.json", b"{}")), InvalidArgument, "expected a list"),
        (archive(file("manifest.json", b'[{"Config": "c.json"}]')), NotFound, "c.json is not in the archive"),
        (archives.layout(MADE)[:6000], InvalidArgument, "truncated"),
        (file("blobs/large", b"x" * 200_000)[:100_000], InvalidArgument, "truncated"),
        (_with({MADE.layers[0]: b"other"}), Unavailable, f"{MADE.layers[0]}: got 5"),
        (_with({MADE.config: MADE.blobs[MADE.config][::-1]}), Unavailable, "another digest"),
        (_with({MADE.manifest: b"x" * len(MADE.blobs[MADE.manifest])}), Unavailable, "another digest"),
    ],
)
def test_broken_layouts(store: ImageStore, path: Path, data: bytes, error: type[Error], text: str) -> None:
    _broken(store, path, data, error, text)


def test_no_image_for_this_host(store: ImageStore, path: Path) -> None:
    index = {"schemaVersion": 2, "manifests": [MADE.descriptor({"os": "plan9", "architecture": "amd64"})]}
    data = archive(
        file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), file("index.json", json.dumps(index).encode())
    )
    _broken(store, path, data, NotFound, "no image for linux")


def test_a_missing_path(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="missing: no such file"):
        load_layout(store, str(tmp_path / "missing"))


def test_nothing_half_made_stays(store: ImageStore, path: Path) -> None:
    _broken(
        store,
        path,
        archives.layout(archives.image(archive(file("a")), archive(file("../b")))),
        InvalidArgument,
        "leads out",
    )
    assert os.listdir(f"{store.root}/snapshots/unpacking") == []
    assert store.collect() == ()
    assert list(store.content.walk()) == []


def _docker_archive(names: list[str]) -> bytes:
    """What docker save wrote before it wrote layouts, with a layer that is a link to another's."""
    layer = archive(file("a", b"x"))
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [archives.digest(layer)]},
    }
    saved = [{"Config": "c.json", "RepoTags": names, "Layers": ["two/layer.tar"]}]
    return archive(
        file("c.json", json.dumps(config).encode()),
        file("one/layer.tar", layer),
        archives.symlink("two/layer.tar", "../one/layer.tar"),
        file("manifest.json", json.dumps(saved).encode()),
    )


def test_dockers_old_archives(store: ImageStore, path: Path) -> None:
    path.write_bytes(_docker_archive(["r.io/app:1", "two"]))
    for _ in range(2):
        ((image, names),) = load(store, str(path))
        assert [name.familiar() for name in names] == ["r.io/app:1", "two:latest"]
        assert Path(store.snapshotter.layers.tree(image.top), "a").read_text() == "x"
    wrong = _docker_archive([]).replace(b"sha256:", b"sha256:0", 1)
    for data, error in ((wrong, InvalidArgument), (_docker_archive(["No Name"]), InvalidArgument)):
        path.write_bytes(data)
        with pytest.raises(error):
            load(store, str(path))


def test_an_archive_can_not_say_by_which_digest_it_is_known(store: ImageStore, path: Path) -> None:
    claimed = "r.io/app@sha256:" + "1" * 64
    path.write_bytes(_docker_archive([claimed, claimed.replace("@", ":1@")]))
    ((image, _),) = load(store, str(path))
    assert (image.names, image.digests) == (("r.io/app:1",), ())
    path.write_bytes(archives.layout(MADE, claimed))
    ((image, _),) = load(store, str(path))
    assert (image.names, image.digests) == ((), ())
    with pytest.raises(NotFound):
        store.resolve(claimed)

"""A new volume gets what the merged layers show, and nothing from outside of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.needs import needs
from utsuwa.engine.copyup import copy_up


@pytest.fixture
def layers(tmp_path: Path) -> list[Path]:
    """Top and base."""
    made = [tmp_path / "top", tmp_path / "base"]
    for layer in made:
        layer.mkdir()
    return made


def copied(layers: list[Path], target: str, tmp_path: Path) -> dict[str, str]:
    out = tmp_path / "out"
    out.mkdir()
    copy_up([str(layer) for layer in layers], target, str(out))
    return {
        str(path.relative_to(out)): os.readlink(path) if path.is_symlink() else path.read_text()
        for path in sorted(out.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_layers_are_merged(layers: list[Path], tmp_path: Path) -> None:
    top, base = layers
    write(base / "data/a", "base")
    write(base / "data/sub/b", "base")
    write(top / "data/a", "top")
    write(top / "data/sub/c", "top")
    (base / "data/link").symlink_to("/etc/shadow")
    assert copied(layers, "/data", tmp_path) == {"a": "top", "link": "/etc/shadow", "sub/b": "base", "sub/c": "top"}


@needs("root")
def test_whiteouts_and_opaque_directories_hide(layers: list[Path], tmp_path: Path) -> None:
    top, base = layers
    write(base / "data/gone", "base")
    write(base / "data/sub/hidden", "base")
    write(top / "data/sub/new", "top")
    os.mknod(top / "data/gone", 0o20000, os.makedev(0, 0))
    os.setxattr(top / "data/sub", "trusted.overlay.opaque", b"y")
    assert copied(layers, "/data", tmp_path) == {"sub/new": "top"}


def test_links_on_the_way_stay_within_the_layers(layers: list[Path], tmp_path: Path) -> None:
    top, base = layers
    write(tmp_path / "secret/file", "outside")
    write(base / "real/file", "inside")
    (top / "data").symlink_to("../../../real")
    assert copied(layers, "/data", tmp_path) == {"file": "inside"}


@pytest.mark.parametrize("target", ["/data", "/loop/x", "/nothing", "/file/x"])
def test_no_directory_no_content(layers: list[Path], tmp_path: Path, target: str) -> None:
    top, _base = layers
    (top / "data").symlink_to(tmp_path)
    (top / "loop").symlink_to("loop")
    write(top / "file", "x")
    assert copied(layers, target, tmp_path) == {}

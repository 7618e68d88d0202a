"""The v1 manager makes what a process is born in before the rest, and takes it back."""

from __future__ import annotations

import os
from pathlib import Path

from utsuwa.cgroup.v1 import V1Manager


def _manager(top: Path, *, unified: bool = True) -> V1Manager:
    names = ["pids", "devices", *([""] if unified else [])]
    mounts = {name: str(top / (name or "unified")) for name in names}
    for mount in mounts.values():
        os.makedirs(mount, exist_ok=True)
    return V1Manager(mounts, {name: f"{mount}/box" for name, mount in mounts.items()})


def test_only_the_unified_directory_comes_first(tmp_path: Path) -> None:
    manager = _manager(tmp_path)
    assert manager.begin()
    assert os.listdir(tmp_path / "unified") == ["box"]
    assert os.listdir(tmp_path / "pids") == []
    manager.create()
    assert os.listdir(tmp_path / "pids") == ["box"]
    assert manager.fresh


def test_what_was_there_before_is_no_place_to_begin(tmp_path: Path) -> None:
    (tmp_path / "unified/box").mkdir(parents=True)
    manager = _manager(tmp_path)
    assert not manager.begin()
    manager.retreat()
    assert (tmp_path / "unified/box").exists()
    manager.create()
    assert not manager.fresh


def test_an_old_directory_elsewhere_is_seen_afterwards(tmp_path: Path) -> None:
    (tmp_path / "pids/box").mkdir(parents=True)
    manager = _manager(tmp_path)
    assert manager.begin()
    manager.create()
    assert not manager.fresh


def test_a_retreat_leaves_nothing(tmp_path: Path) -> None:
    manager = _manager(tmp_path)
    manager.begin()
    manager.retreat()
    assert os.listdir(tmp_path / "unified") == []


def test_without_cgroup2_nothing_has_to_come_first(tmp_path: Path) -> None:
    manager = _manager(tmp_path, unified=False)
    assert manager.begin()
    assert os.listdir(tmp_path / "pids") == []

"""Where a container's cgroup is, what is made, and what comes back from a record."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.unit.cgroup.trees import v1_host, v2_host
from utsuwa import errors
from utsuwa.cgroup.filesystem import clean, load, open_manager
from utsuwa.cgroup.manager import Join
from utsuwa.linux.host import Host


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/a/b", "/a/b"),
        ("a//b/./c/", "/a/b/c"),
        ("../../etc", "/etc"),
        ("/a/../../../b", "/b"),
    ],
)
def test_clean_keeps_a_path_below_the_top(given: str, expected: str) -> None:
    assert clean(given) == expected


@pytest.mark.parametrize("given", ["/", "..", "a/..", "./", "a\0b", "a\nb"])
def test_the_root_cgroup_and_strange_bytes_are_refused(given: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"linux\.cgroupsPath"):
        clean(given)


def test_no_cgroup_mount_is_said_clearly() -> None:
    with pytest.raises(errors.FailedPrecondition, match="no cgroup file system"):
        open_manager(Host(), "/a", "id")


def test_v1_takes_absolute_paths_from_the_mount_point(tmp_path: Path) -> None:
    host = v1_host(tmp_path, cgroup_paths={"memory": "/mine"})
    joining = open_manager(host, "/pod/one", "id").join()
    assert f"{tmp_path}/memory/pod/one" in joining.v1
    assert f"{tmp_path}/systemd/pod/one" in joining.v1
    assert joining.unified == ""


@pytest.mark.parametrize(("path", "name"), [("rel", "rel"), (None, "id"), ("", "id")])
def test_v1_takes_other_paths_from_our_own_cgroup_in_each_hierarchy(
    tmp_path: Path, path: str | None, name: str
) -> None:
    host = v1_host(tmp_path, cgroup_paths={"memory": "/mine/deep", "cpu": "/"})
    joining = open_manager(host, path, "id").join()
    assert f"{tmp_path}/memory/mine/deep/{name}" in joining.v1
    assert f"{tmp_path}/cpu/{name}" in joining.v1


def test_our_own_cgroup_counts_from_what_is_mounted(tmp_path: Path) -> None:
    host = v1_host(tmp_path, cgroup_paths={"memory": "/docker/abc/x"}, cgroup_roots={"memory": "/docker/abc"})
    assert f"{tmp_path}/memory/x/rel" in open_manager(host, "rel", "id").join().v1


@pytest.mark.parametrize(
    ("own", "path", "expected"),
    [
        ("/", None, "/id"),
        ("/user.slice/session.scope", None, "/user.slice/id"),
        ("/user.slice/session.scope", "a/b", "/user.slice/a/b"),
        ("/user.slice/session.scope", "/a/b", "/a/b"),
    ],
)
def test_v2_makes_a_sibling_of_our_own_cgroup(tmp_path: Path, own: str, path: str | None, expected: str) -> None:
    manager = open_manager(v2_host(tmp_path, own), path, "id")
    assert manager.join() == Join(f"{tmp_path}{expected}", ())


def test_v1_create_makes_every_directory_and_fills_cpusets_down_the_chain(tmp_path: Path) -> None:
    manager = open_manager(v1_host(tmp_path, hybrid=True, cpuset=True), "/pod/one", "id")
    # The kernel would make these files with the directories.
    for level in ("pod", "pod/one"):
        directory = tmp_path / "cpuset" / level
        directory.mkdir()
        for key in ("cpuset.cpus", "cpuset.mems"):
            (directory / key).write_text("")
    manager.create()
    assert all(Path(path).is_dir() for path in manager.join().v1)
    assert manager.join().unified == f"{tmp_path}/unified/pod/one"
    assert (tmp_path / "cpuset/pod/cpuset.cpus").read_text() == "0-1"
    assert (tmp_path / "cpuset/pod/one/cpuset.mems").read_text() == "0"


def test_v1_looks_up_whole_paths_for_the_directory_of_all_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each walk through sysfs waits for whoever makes or takes down a network namespace."""
    walks: list[str] = []

    def watch(name: str) -> None:
        real = getattr(os, name)

        def watched(path: str, *rest: object, **more: object) -> object:
            walks.extend([path] if path.startswith("/") else [])
            return real(path, *rest, **more)

        monkeypatch.setattr(os, name, watched)

    manager = open_manager(v1_host(tmp_path, hybrid=True), "/one", "id")
    for name in ("mkdir", "rmdir", "open"):
        watch(name)
    manager.create()
    manager.remove()
    assert walks == [f"{tmp_path}/"] * 2
    assert not list(tmp_path.glob("*/one"))


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    host = v1_host(tmp_path)
    (tmp_path / "pids").rmdir()
    (tmp_path / "pids").write_text("in the way")
    with pytest.raises(errors.InvalidArgument, match="pids"):
        open_manager(host, "/pod/one", "id").create()
    assert not list(tmp_path.glob("*/pod"))


def test_a_cgroup_with_processes_is_refused_and_left_alone(tmp_path: Path) -> None:
    host = v1_host(tmp_path)
    occupied = tmp_path / "devices" / "id"
    occupied.mkdir()
    (occupied / "cgroup.procs").write_text("41\n42\n")
    with pytest.raises(errors.FailedPrecondition, match=r"^container's cgroup is not empty: 2 process\(es\) found$"):
        open_manager(host, "/id", "id").create()
    assert occupied.is_dir()
    assert not (tmp_path / "memory" / "id").exists()


def test_a_frozen_cgroup_is_refused(tmp_path: Path) -> None:
    host = v1_host(tmp_path)
    (tmp_path / "freezer" / "id").mkdir()
    (tmp_path / "freezer" / "id" / "freezer.state").write_text("FROZEN\n")
    with pytest.raises(errors.FailedPrecondition, match=r"^container's cgroup unexpectedly frozen$"):
        open_manager(host, "/id", "id").create()


@pytest.mark.parametrize(
    ("events", "message"),
    [("populated 1\nfrozen 0\n", r"is not empty: 1 process\(es\)"), ("populated 0\nfrozen 1\n", "unexpectedly frozen")],
)
def test_v2_refuses_a_cgroup_in_use(tmp_path: Path, events: str, message: str) -> None:
    host = v2_host(tmp_path)
    (tmp_path / "id").mkdir()
    (tmp_path / "id" / "cgroup.events").write_text(events)
    (tmp_path / "id" / "cgroup.procs").write_text("42\n")
    with pytest.raises(errors.FailedPrecondition, match=message):
        open_manager(host, "/id", "id").create()


def test_v2_enables_what_is_missing_and_nothing_else(tmp_path: Path) -> None:
    open_manager(v2_host(tmp_path), "/id", "id").create()
    # A plain file keeps the last write; the kernel adds it to "cpu".
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +pids +io"


def test_controllers_mounted_together_share_a_directory(tmp_path: Path) -> None:
    manager = open_manager(v1_host(tmp_path, together=True, hybrid=True), "/id", "id")
    directories = manager.directories()
    assert directories["cpu"] == directories["cpuacct"] == f"{tmp_path}/cpu,cpuacct/id"
    assert directories["name=systemd"] == f"{tmp_path}/systemd/id"
    assert directories[""] == f"{tmp_path}/unified/id"
    assert manager.join().v1.count(f"{tmp_path}/cpu,cpuacct/id") == 1


@pytest.mark.parametrize("make", [v1_host, v2_host])
def test_a_record_gives_the_same_manager_back(tmp_path: Path, make) -> None:
    manager = open_manager(make(tmp_path), "/pod/one", "id")
    again = load(json.loads(json.dumps(manager.save())))
    assert (again.join(), again.directories(), again.save()) == (manager.join(), manager.directories(), manager.save())


def _v2(mount: object, path: object) -> dict:
    return {"version": "v2", "mount": mount, "path": path, "unprivileged": False, "absent": False}


@pytest.mark.parametrize(
    "saved",
    [
        {},
        {"version": "v2"},
        {"version": "v1", "mounts": {}},
        {"version": "v1", "mounts": {}, "paths": [], "unprivileged": False},
        {"version": "v1", "mounts": {"memory": "/m"}, "paths": {"memory": "/n/a"}, "unprivileged": False},
        _v2("/", "/etc"),
        _v2("/sys/fs/cgroup", "/sys/fs/cgroup"),
        _v2("/sys/fs/cgroup", "/sys/fs/cgroup/../../../etc"),
        _v2("/sys/fs/cgroup", True),
        _v2([0] * 1000, "/a"),
    ],
)
def test_a_damaged_record_is_our_own_fault(saved: dict) -> None:
    with pytest.raises(errors.Internal, match="saved cgroup manager") as caught:
        load(saved)
    assert len(str(caught.value)) < 200

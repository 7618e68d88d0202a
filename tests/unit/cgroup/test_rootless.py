"""Someone without the right to make cgroups: who asked for nothing does without one, who asked for limits is told."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.unit.cgroup.trees import v1_host, v2_host
from utsuwa import errors
from utsuwa.cgroup.filesystem import load, open_manager
from utsuwa.cgroup.manager import Join
from utsuwa.spec.runtime import Memory, Resources

LIMITED = Resources(memory=Memory(limit=1 << 26))


@pytest.fixture(params=[errno.EACCES, errno.EPERM, errno.EROFS])
def forbidden(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nobody may make a directory below those named in the list; a kernel that says no is not to be had as root."""
    places: list[str] = []
    mkdir = os.mkdir

    def refuse(path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        whole = path if dir_fd is None else f"{os.readlink(f'/proc/self/fd/{dir_fd}')}/{path}"
        if any(str(whole).startswith(place) for place in places):
            raise OSError(request.param, os.strerror(request.param), path)
        mkdir(path, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", refuse)
    return places


def test_v2_without_path_and_limits_runs_without_a_cgroup(tmp_path: Path, forbidden: list[str]) -> None:
    manager = open_manager(v2_host(tmp_path, euid=1000), None, "id")
    forbidden.append(str(tmp_path))
    manager.create()
    for one in (manager, load(manager.save())):
        assert (one.join(), one.directories(), one.pids(), one.stats()) == (Join("", ()), {}, [], {})
        one.apply(Resources())
        assert one.device_program(Resources()) is None
        one.kill(9)
        one.remove()
        with pytest.raises(errors.FailedPrecondition, match="no cgroup of its own"):
            one.freeze()
        with pytest.raises(
            errors.PermissionDenied, match=r"cannot set linux\.resources\.memory\.limit: container could"
        ):
            one.apply(LIMITED)


def test_v1_leaves_out_what_it_may_not_make(tmp_path: Path, forbidden: list[str]) -> None:
    manager = open_manager(v1_host(tmp_path, in_user_namespace=True), None, "id")
    forbidden.append(str(tmp_path / "memory"))
    announced = manager.save()
    manager.create()
    assert "memory" not in manager.directories()
    assert announced != manager.save()  # a record that was written before has to be written anew
    assert "pids" in manager.directories()
    with pytest.raises(errors.PermissionDenied, match=r"linux\.resources\.memory\.limit: container could not join"):
        manager.apply(LIMITED)
    with pytest.raises(errors.NotFound, match=r"devices\.list"):
        manager.apply(Resources())


def test_v1_guards_devices_unless_it_may_not(tmp_path: Path, forbidden: list[str]) -> None:
    manager = open_manager(v1_host(tmp_path, euid=1000), None, "id")
    forbidden.append(str(tmp_path / "devices"))
    manager.create()
    manager.apply(Resources())
    rooted = load({**manager.save(), "unprivileged": False})
    with pytest.raises(errors.FailedPrecondition, match=r"linux\.resources\.devices"):
        rooted.apply(Resources())


@pytest.mark.parametrize(("path", "euid"), [("/asked/for", 1000), ("asked", 1000), (None, 0)])
@pytest.mark.parametrize("make", [v1_host, v2_host])
def test_who_asks_for_a_place_or_is_root_must_get_it(
    tmp_path: Path, forbidden: list[str], make, path: str | None, euid: int
) -> None:
    manager = open_manager(make(tmp_path, euid=euid), path, "id")
    forbidden.append(str(tmp_path))
    with pytest.raises(
        errors.PermissionDenied, match=r"create cgroup .*: (permission denied|.*not permitted|read-only)"
    ):
        manager.create()

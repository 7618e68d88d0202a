"""Id maps, written for a process that has really made a user namespace."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.needs import needs
from utsuwa.errors import InvalidArgument, PermissionDenied
from utsuwa.linux import idmaps
from utsuwa.spec.runtime import IDMapping

OWN = (IDMapping(containerID=0, hostID=0, size=1),)
TWO = (IDMapping(containerID=0, hostID=100000, size=1000), IDMapping(containerID=1000, hostID=200000, size=1))


@pytest.fixture
def process() -> Iterator[int]:
    """A process in a user namespace without maps."""
    child = subprocess.Popen(
        ["unshare", "--user", "sh", "-c", "echo ready; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout and child.stdin and child.stdout.readline() == b"ready\n"
    yield child.pid
    child.stdin.close()
    child.wait()
    child.stdout.close()


def _numbers(path: str) -> list[list[int]]:
    return [[int(word) for word in line.split()] for line in Path(path).read_text().splitlines()]


@needs("root", "unshare")
def test_maps_of_several_ranges_arrive(process: int) -> None:
    idmaps.write(process, TWO, OWN)
    assert _numbers(f"/proc/{process}/uid_map") == [[0, 100000, 1000], [1000, 200000, 1]]
    assert _numbers(f"/proc/{process}/gid_map") == [[0, 0, 1]]
    assert Path(f"/proc/{process}/setgroups").read_text() == "allow\n", "root may still set groups"


@needs("root", "unshare")
def test_overlapping_ranges_are_invalid(process: int) -> None:
    with pytest.raises(InvalidArgument, match=r"linux\.uidMappings: writing the uid map"):
        idmaps.write(process, OWN + OWN, OWN)


def test_more_lines_than_the_kernel_takes() -> None:
    with pytest.raises(InvalidArgument, match=r"linux\.uidMappings: 341 entries, the kernel takes 340"):
        idmaps.write(0, OWN * 341, OWN)


def _command(directory: Path, name: str, script: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def refusing_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, content: str) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(idmaps, "_put", refuse)


@pytest.mark.usefixtures("refusing_kernel")
def test_shadow_is_asked_where_the_kernel_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("newuidmap", "newgidmap"):
        _command(tmp_path, name, f'echo "$0 $@" >> {tmp_path}/log')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    idmaps.write(42, TWO, OWN)
    lines = [
        Path(line.split()[0]).name + " " + line.split(" ", 1)[1] for line in (tmp_path / "log").read_text().splitlines()
    ]
    assert lines == ["newuidmap 42 0 100000 1000 1000 200000 1", "newgidmap 42 0 0 1"]


@pytest.mark.usefixtures("refusing_kernel")
def test_what_shadow_complains_about_is_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _command(tmp_path, "newuidmap", "echo 'uid range [0-1000) -> [100000-101000) not allowed' >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PermissionDenied, match=r"linux\.uidMappings: uid range .* not allowed$"):
        idmaps.write(42, TWO, OWN)


@pytest.mark.usefixtures("refusing_kernel")
def test_without_shadow_the_error_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PermissionDenied, match="newuidmap of the uidmap package"):
        idmaps.write(42, TWO, OWN)


def test_groups_are_denied_only_to_those_who_map_just_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, str]] = []
    monkeypatch.setattr(idmaps, "_put", lambda path, content: written.append((path, content)))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 1000)
    mine = (IDMapping(containerID=0, hostID=1000, size=1),)
    idmaps.write(7, mine, mine)
    assert written == [
        ("/proc/7/uid_map", "0 1000 1\n"),
        ("/proc/7/setgroups", "deny"),
        ("/proc/7/gid_map", "0 1000 1\n"),
    ]

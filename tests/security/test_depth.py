"""Trees deeper than paths are long and than a process may have files open: any container can make one."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, Household
from tests.needs import needs
from utsuwa.snapshot import tree
from utsuwa.snapshot.measure import disk_usage

DEPTH = 1100


@pytest.fixture
def few_files() -> Iterator[None]:
    """As many as a shell's children have on most hosts."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def dig(path: Path, content: bytes = b"x" * 5000) -> None:
    """Directories in directories, each with a file and a link."""
    here = os.open(path, os.O_RDONLY)
    for _ in range(DEPTH):
        for name in ("down", "e"):
            os.mkdir(name, dir_fd=here)
        os.symlink("/", "link", dir_fd=here)
        inner = os.open("down", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    fd = os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=here)
    os.write(fd, content)
    os.link("file", "again", src_dir_fd=here, dst_dir_fd=here)
    os.close(fd)
    os.close(here)


def test_they_are_measured_and_removed(tmp_path: Path, few_files: None) -> None:
    """Proven: by path it was `file name too long`, and with a descriptor for each level `too many open files`."""
    (tmp_path / "deep").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    dig(tmp_path / "deep")
    blocks = (tmp_path / "deep" / "e").stat().st_blocks * 512
    assert disk_usage(str(tmp_path / "deep")) in range(2 * DEPTH * blocks + 5000, 2 * DEPTH * blocks + 5000 + 8192)
    tree.remove(str(tmp_path / "deep"))
    assert os.listdir(tmp_path) == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_others_remove_and_make_things_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is being compressed, a second process that sweeps. Proven: `no such file or directory`."""
    (tmp_path / "x" / "inner").mkdir(parents=True)
    for name in ("a", "inner/b"):
        (tmp_path / "x" / name).touch()
    unlink, rmdir, late = os.unlink, os.rmdir, ["late"]

    def faster(name: str, *, dir_fd: int | None = None) -> None:
        unlink(name, dir_fd=dir_fd)
        raise FileNotFoundError

    def disturbed(name: str, *, dir_fd: int | None = None) -> None:
        if late and name == "inner":
            os.close(os.open(f"{name}/{late.pop()}", os.O_CREAT | os.O_WRONLY, dir_fd=dir_fd))
        rmdir(name, dir_fd=dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", faster)
        patch.setattr(os, "rmdir", disturbed)
        tree.remove(str(tmp_path / "x"))
    assert os.listdir(tmp_path) == [] and not late


@needs("root", "overlay", "busybox")
def test_a_container_that_digs_is_not_in_the_way(tmp_path: Path, few_files: None) -> None:
    """Proven: it could not be removed, and from then on no verb that lists containers worked for any of them."""
    house = Household(tmp_path)
    try:
        house.load(tmp_path)
        identifier = house.ok("create", IMAGE, "true").strip()
        dig(house.root / "snapshots" / "keys" / identifier / "upper")
        assert identifier[:12] in house.ok("ps", "-as")
        assert "Containers" in house.ok("system", "df")
        assert "levels can't be archived" in house("diff", identifier).stderr.decode()
        house.ok("rm", identifier)
        assert house.leftovers() == []
    finally:
        house.end()

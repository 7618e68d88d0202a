"""What CRIU is told not to look into."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from utsuwa.criu.messages import pair
from utsuwa.errors import NotFound, Unsupported
from utsuwa.plan import ops
from utsuwa.plan.plan import Plan, Step
from utsuwa.runtime import external
from utsuwa.spec.runtime import Linux, Namespace


def plan(*made: ops.Op) -> Plan:
    return Plan([Step(op, "test") for op in made])


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/conf", "/real/conf"),
        ("/conf/deep/er", "/real/conf/deep/er"),
        ("/up/x", "/x"),
        ("/missing/link", "/missing/link"),
        ("/real/../real/./conf/", "/real/conf"),
        ("/..//real", "/real"),
    ],
)
def test_links_stay_in_the_root(tmp_path: Path, path: str, found: str) -> None:
    (tmp_path / "real/conf").mkdir(parents=True)
    (tmp_path / "conf").symlink_to("/real/conf")
    (tmp_path / "up").symlink_to("../../..")
    assert external.resolved(str(tmp_path), path) == found


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert external.resolved(str(tmp_path), "/a/x").endswith("/x")


def test_binds_are_external_at_both_ends(tmp_path: Path) -> None:
    made = plan(ops.Bind("/srv/data", "/data"), ops.Mount("proc", "proc", "/proc", (), 0))
    assert external.mounts_at_dump(made, str(tmp_path), os.getpid()) == [pair("/data", "/data")]
    assert external.mounts_at_restore(made, str(tmp_path)) == [pair("/data", "/srv/data")]


def test_masks_of_files_are_external_and_those_of_directories_are_not(tmp_path: Path) -> None:
    made = plan(ops.Mask("/dev/null"), ops.Mask("/proc"), ops.Mask("/nowhere"))
    assert external.mounts_at_dump(made, str(tmp_path), os.getpid()) == [pair("/dev/null", "/dev/null")]
    assert external.mounts_at_restore(made, str(tmp_path)) == [pair("/dev/null", "/dev/null")]


def test_joined_namespaces() -> None:
    path = f"/proc/{os.getpid()}/ns/net"
    linux = Linux(
        namespaces=(
            Namespace(type="network", path=path),
            Namespace(type="uts", path="/proc/1/ns/uts"),
            Namespace(type="mount"),
        )
    )
    assert external.namespaces_at_dump(linux) == [f"net[{os.stat(path).st_ino}]:extRootNetNS"]
    inherited, joined = external.namespaces_at_restore(linux)
    assert joined == [pair("uts", "/proc/1/ns/uts")]
    ((key, descriptor),) = inherited
    try:
        assert key == "extRootNetNS"
        assert os.fstat(descriptor).st_ino == os.stat(path).st_ino
    finally:
        os.close(descriptor)


def test_namespaces_that_can_not_be_joined(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="cgroup namespace"):
        external.namespaces_at_restore(Linux(namespaces=(Namespace(type="cgroup", path="/proc/1/ns/cgroup"),)))
    with pytest.raises(NotFound, match="does not exist"):
        external.namespaces_at_restore(Linux(namespaces=(Namespace(type="network", path=str(tmp_path / "net")),)))

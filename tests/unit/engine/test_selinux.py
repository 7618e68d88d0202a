"""Labels for containers, and relabelling, at a host that plays SELinux: the attribute is kept in a dictionary."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from utsuwa.engine import selinux
from utsuwa.engine.mountpoints import MountPoint
from utsuwa.errors import InvalidArgument, PermissionDenied, Unsupported
from utsuwa.spec.mount import Mount
from utsuwa.spec.request import RunRequest, Security

FILE = "system_u:object_r:container_file_t"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Labels by path, as they were set; a name with "fixed" can't be labelled, one with "plain" knows no labels."""
    contexts = tmp_path / "selinux/mine/contexts"
    contexts.mkdir(parents=True)
    (tmp_path / "selinux/config").write_text("# which policy\nSELINUX=enforcing\nSELINUXTYPE=mine\n")
    lines = f'process = "system_u:system_r:container_t:s0"\nfile = "{FILE}:s0"\nro_file="x"\n'
    (contexts / "lxc_contexts").write_text(lines)
    monkeypatch.setattr(selinux, "_CONFIGURATION", str(tmp_path / "selinux"))
    labels: dict[str, str] = {}

    def place(path: str) -> str:
        folder, name = os.path.split(path)
        return f"{os.path.realpath(folder)}/{name}"

    def setxattr(path: str, name: str, value: bytes, *, follow_symlinks: bool) -> None:
        assert (name, follow_symlinks, value[-1:]) == ("security.selinux", False, b"\0")
        os.lstat(path)
        if "fixed" in path or "plain" in path:
            raise OSError(errno.EPERM if "fixed" in path else errno.EOPNOTSUPP, "no", path)
        labels[place(path)] = value[:-1].decode()

    def getxattr(path: str, name: str, *, follow_symlinks: bool) -> bytes:
        return f"{FILE}:s0\0".encode() if "same" in path else b"other\0"

    monkeypatch.setattr(os, "setxattr", setxattr)
    monkeypatch.setattr(os, "getxattr", getxattr)
    return labels


def lent(source: Path, mode: str) -> MountPoint:
    return MountPoint(type="bind", source=str(source), destination="/inside", mode=mode)


def settled(label: str, *taken: str) -> str:
    request = selinux.settle(RunRequest(image="x", security=Security(selinux=label)), taken)
    return request.security.selinux or ""


def test_a_label_is_made_whole(host: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert settled("::other_t:s0:c1,c2") == "system_u:system_r:other_t:s0:c1,c2"
    assert selinux.file_label("user_u:system_r:other_t:s0:c1,c2") == "user_u:object_r:container_file_t:s0:c1,c2"
    drawn = iter([7, 7, 9, 3, 5, 4])
    monkeypatch.setattr(os, "urandom", lambda _count: next(drawn).to_bytes(4, "little"))
    assert settled("::other_t:", "a:b:c:s0:c3,c9") == "system_u:system_r:other_t:s0:c4,c5"


def test_trees_are_lent(host: dict[str, str], tmp_path: Path) -> None:
    tree, alone = tmp_path / "tree", tmp_path / "file"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/file").write_text("")
    (tree / "plain").write_text("")
    (tree / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/kept").write_text("")
    alone.write_text("")
    points = [lent(tree, "z"), lent(Path("/nosuch"), "")]
    points.append(lent(alone, "Z"))
    selinux.relabel_all("system_u:system_r:container_t:s0:c1,c2", points)
    shared = {str(tree / name) for name in ("", "sub", "sub/file", "link")}
    assert host == {
        **dict.fromkeys((each.rstrip("/") for each in shared), f"{FILE}:s0"),
        str(alone): f"{FILE}:s0:c1,c2",
    }


def test_the_root_is_the_containers(host: dict[str, str], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    mounts = [Mount(type="overlay", source="overlay", options=("lowerdir=/a",)), Mount(type="bind", source=str(copy))]
    made = selinux.label_root("system_u:system_r:container_t:s0:c1,c2", mounts)
    assert made[0].options == ("lowerdir=/a", f"context={FILE}:s0:c1,c2") and made[1] == mounts[1]
    assert host == {str(copy): f"{FILE}:s0:c1,c2"}


def test_what_can_not_be_relabelled(host: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in ("/etc", "/usr/../var", str(tmp_path)):
        with pytest.raises(InvalidArgument, match=r"SELinux relabeling of .* is not allowed"):
            selinux.relabel(path, f"{FILE}:s0")
    for name in ("fixed", "fixed-same"):
        (tmp_path / name).write_text("")
    with pytest.raises(PermissionDenied, match=r"relabel .*/fixed for SELinux"):
        selinux.relabel(str(tmp_path / "fixed"), f"{FILE}:s0")
    selinux.relabel(str(tmp_path / "fixed-same"), f"{FILE}:s0")
    assert host == {}


def test_a_policy_without_containers(host: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "selinux/mine/contexts/lxc_contexts").write_text("")
    with pytest.raises(Unsupported, match=r"no labels for containers in .*/mine/contexts/lxc_contexts"):
        settled("::other_t:")

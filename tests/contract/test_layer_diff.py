"""One suite for every snapshotter: what a container changed, as a list, and as a layer that brings it about again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.archives import archive, digest, directory, file, hardlink, symlink
from tests.needs import needs
from utsuwa.errors import InvalidArgument
from utsuwa.snapshot import apply, diff, tar, tree
from utsuwa.snapshot.choose import open_snapshotter
from utsuwa.snapshot.keyed import KeyedSnapshots

pytestmark = needs("root", "unshare")

BASE = archive(
    directory("./"),
    directory("etc"),
    file("etc/passwd", b"root"),
    file("etc/old", b"old"),
    directory("replaced"),
    file("replaced/gone"),
    file("replaced/again", b"1"),
    directory("emptied"),
    file("emptied/inner"),
    directory("modes"),
    file("was-file"),
    directory("was-dir"),
    file("was-dir/x"),
    file("linked", b"l"),
    hardlink("linked2", "linked"),
    symlink("link", "etc"),
    directory("untouched"),
    file("untouched/file"),
)
SCRIPT = """
echo more >> etc/passwd; rm etc/old; : > etc/hosts; mkdir proc
rm -r replaced; mkdir replaced; echo 2 > replaced/again
rm -r emptied; chmod 700 modes; rm was-file; mkdir was-file; rm -r was-dir; echo f > was-dir
mkdir new new/deep; echo n > new/deep/file; ln new/deep/file new/deep/second; ln -sfn nowhere link
chown 5:6 linked
"""


@pytest.fixture(params=["overlay", "copy"])
def snapshots(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyedSnapshots]:
    if request.param == "overlay":
        with open("/proc/filesystems") as known:
            if "overlay" not in known.read():
                pytest.skip("needs overlay")
    umask = os.umask(0)
    yield open_snapshotter(str(tmp_path / "snapshots"), request.param)
    os.umask(umask)


def _commit(snapshots: KeyedSnapshots, layer: bytes, parent: str = "") -> str:
    staging = snapshots.layers.begin_unnamed(parent)
    fd = os.open(f"{staging.path}/tree", tree.DIRECTORY_FLAGS)
    staging.outcome = apply.apply(tar.Stream(iter([layer])), fd)
    os.close(fd)
    staging.call(digest(layer))
    snapshots.layers.commit([staging], lambda _path: None)
    return staging.name


def _inside(snapshots: KeyedSnapshots, key: str, script: str) -> str:
    """Run a script in the snapshot, mounted in a mount namespace of its own."""
    mount = snapshots.mounts(key)[0]
    command = f"mount -t {mount.type} -o '{','.join(mount.options)}' {mount.source} /mnt && cd /mnt && {script}"
    if mount.type == "bind":
        command = f"mount --bind {mount.source} /mnt && cd /mnt && {script}"
    done = subprocess.run(["unshare", "-m", "sh", "-ec", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


LOOK = "find . -mindepth 1 -printf '%P %M %U:%G %l\\n' | sort; cat etc/passwd replaced/again was-dir new/deep/second"


def _listed(snapshots: KeyedSnapshots, key: str) -> list[str]:
    return [f"{change.kind} /{change.path.decode()}" for change in diff.changes(snapshots, key)]


def test_changes(snapshots: KeyedSnapshots) -> None:
    top = _commit(snapshots, BASE)
    snapshots.prepare("c", top)
    assert _listed(snapshots, "c") == []
    _inside(snapshots, "c", SCRIPT)
    wanted = [
        "C /etc",
        "D /etc/old",
        "C /etc/passwd",
        "C /replaced",
        "D /replaced/gone",
        "C /replaced/again",
        "D /emptied",
        "C /modes",
        "C /was-file",
        "C /was-dir",
        "A /new",
        "A /new/deep",
        "A /new/deep/file",
        "A /new/deep/second",
        "C /link",
        "C /linked",
    ]
    if snapshots.complete:  # overlayfs has torn the two names of one file apart
        wanted.append("C /linked2")
    assert sorted(_listed(snapshots, "c")) == sorted(wanted)


def test_mount_places_are_no_changes(snapshots: KeyedSnapshots) -> None:
    snapshots.prepare("c", _commit(snapshots, archive(file("a"))))
    _inside(snapshots, "c", "mkdir proc sys dev etc; : > etc/hosts; : > etc/hostname; : > etc/resolv.conf")
    assert _listed(snapshots, "c") == []
    _inside(snapshots, "c", "echo x > etc/hosts")
    assert _listed(snapshots, "c") == ["A /etc", "A /etc/hosts"]


def test_a_layer_brings_it_about_again(snapshots: KeyedSnapshots) -> None:
    top = _commit(snapshots, BASE)
    snapshots.prepare("c", top)
    _inside(snapshots, "c", SCRIPT)
    layer = b"".join(diff.archive(snapshots, "c"))
    assert layer == b"".join(diff.archive(snapshots, "c"))
    assert b".wh..wh..opq" not in layer
    snapshots.prepare("again", _commit(snapshots, layer, top))
    # What the engine made to mount on is in the one and not in the other.
    _inside(snapshots, "c", "rm etc/hosts; rmdir proc")
    assert _inside(snapshots, "again", LOOK) == _inside(snapshots, "c", LOOK)
    assert "f\n" in _inside(snapshots, "again", LOOK)
    assert _inside(snapshots, "again", "stat -c %h new/deep/file") == "2\n"


def test_export_is_the_whole_tree(snapshots: KeyedSnapshots) -> None:
    snapshots.prepare("c", _commit(snapshots, BASE))
    _inside(snapshots, "c", SCRIPT)
    snapshots.prepare("copy", _commit(snapshots, b"".join(diff.export(snapshots, "c"))))
    assert _inside(snapshots, "copy", LOOK) == _inside(snapshots, "c", LOOK)


def test_a_changed_root_is_carried(snapshots: KeyedSnapshots) -> None:
    top = _commit(snapshots, BASE)
    snapshots.prepare("c", top)
    _inside(snapshots, "c", "chmod 711 .")
    assert _listed(snapshots, "c") == ["C /"]
    snapshots.prepare("again", _commit(snapshots, b"".join(diff.archive(snapshots, "c")), top))
    assert _inside(snapshots, "again", "stat -c %a .") == "711\n"


def test_what_can_not_be_compared(snapshots: KeyedSnapshots) -> None:
    snapshots.prepare("r", "", read_only=True)
    with pytest.raises(InvalidArgument, match="read-only"):
        list(diff.changes(snapshots, "r"))
    snapshots.prepare("deep", "")
    _inside(snapshots, "deep", "for i in $(seq 260); do mkdir d; cd d; done")
    with pytest.raises(InvalidArgument, match="more than 256 levels"):
        list(diff.changes(snapshots, "deep"))
    with pytest.raises(InvalidArgument, match="more than 256 levels"):
        list(diff.export(snapshots, "deep"))

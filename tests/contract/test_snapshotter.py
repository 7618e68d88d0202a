"""One suite for every snapshotter: the tree that a container would see is the same."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.archives import archive, digest, directory, file, hardlink, symlink
from tests.needs import needs
from utsuwa.errors import Conflict, InvalidArgument, NotFound
from utsuwa.snapshot import apply, tar, tree
from utsuwa.snapshot.choose import open_snapshotter
from utsuwa.snapshot.keyed import KeyedSnapshots
from utsuwa.spec.image import chain_ids

pytestmark = needs("root", "unshare")

LAYERS = (
    archive(
        directory("./", 0o755),
        directory("etc"),
        file("etc/passwd", b"root"),
        file("etc/old", b"old"),
        directory("opaque"),
        file("opaque/hidden"),
        directory("merged", 0o711),
        file("merged/lower"),
        file("was-file"),
        file("was-dir/inner"),
        file("linked", b"l"),
    ),
    archive(
        file("etc/.wh.old"),
        file("etc/passwd", b"changed", mode=0o600),
        directory("opaque"),
        file("opaque/.wh..wh..opq"),
        file("opaque/new"),
        directory("was-file"),
        file("was-file/inner"),
        file("was-dir"),
        symlink("link", "etc/passwd"),
        hardlink("second", "linked"),
    ),
    archive(file("merged/upper"), file("top:colon\\", b"x")),
)


@pytest.fixture(params=["overlay", "copy"])
def snapshotter(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyedSnapshots]:
    if request.param == "overlay":
        with open("/proc/filesystems") as known:
            if "overlay" not in known.read():
                pytest.skip("needs overlay")
    umask = os.umask(0)
    yield open_snapshotter(str(tmp_path / "odd:name"), request.param)
    os.umask(umask)


@pytest.fixture
def top(snapshotter: KeyedSnapshots) -> str:
    """The chain ID of three committed layers."""
    chain = ("", *chain_ids(tuple(digest(layer) for layer in LAYERS)))
    stagings = []
    for place, layer in enumerate(LAYERS):
        staging = snapshotter.layers.begin(chain[place + 1], chain[place], digest(layer))
        assert staging
        fd = os.open(f"{staging.path}/tree", tree.DIRECTORY_FLAGS)
        staging.outcome = apply.apply(tar.Stream(iter([layer])), fd)
        os.close(fd)
        stagings.append(staging)
    snapshotter.layers.commit(stagings, lambda _path: None)
    return chain[-1]


def _inside(snapshotter: KeyedSnapshots, key: str, script: str) -> str:
    """Run a script in the mounted root, mounted in a mount namespace of its own as a container's plan does it."""
    (mount,) = snapshotter.mounts(key)
    at = Path(snapshotter.root) / "at"
    at.mkdir(exist_ok=True)
    if mount.type == "bind":
        words = ["mount", "--bind", mount.source, str(at)]
        after = f"mount -o remount,bind,ro {str(at)!r}" if "ro" in mount.options else "true"
    else:
        words = ["mount", "-t", mount.type, mount.source, "-o", ",".join(mount.options), str(at)]
        after = "true"
    quoted = " ".join("'" + word + "'" for word in words)
    command = f"{quoted} && {after} && cd '{at}' && {script}"
    done = subprocess.run(["unshare", "-m", "sh", "-c", command], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_layers_are_merged(snapshotter: KeyedSnapshots, top: str) -> None:
    snapshotter.prepare("c1", top)
    found = _inside(snapshotter, "c1", "find . -printf '%p %M\\n' | sort && cat etc/passwd && cat second")
    assert found.splitlines() == [
        ". drwxr-xr-x",
        "./etc drwxr-xr-x",
        "./etc/passwd -rw-------",
        "./link lrwxrwxrwx",
        "./linked -rw-r--r--",
        "./merged drwx--x--x",
        "./merged/lower -rw-r--r--",
        "./merged/upper -rw-r--r--",
        "./opaque drwxr-xr-x",
        "./opaque/new -rw-r--r--",
        "./second -rw-r--r--",
        "./top:colon\\ -rw-r--r--",
        "./was-dir -rw-r--r--",
        "./was-file drwxr-xr-x",
        "./was-file/inner -rw-r--r--",
        "changedl",
    ]


def test_what_is_written_stays_in_its_own_snapshot(snapshotter: KeyedSnapshots, top: str) -> None:
    snapshotter.prepare("c1", top)
    snapshotter.prepare("c2", top)
    assert _inside(snapshotter, "c1", "echo new > etc/passwd && rm link && rm -r opaque && mkdir opaque") == ""
    assert _inside(snapshotter, "c1", "cat etc/passwd; ls opaque; test -e link || echo gone") == "new\ngone\n"
    assert _inside(snapshotter, "c2", "cat etc/passwd; ls opaque link") == "changedlink\n\nopaque:\nnew\n"
    assert (Path(snapshotter.upper("c1")) / "etc/passwd").read_text() == "new\n"
    assert snapshotter.usage("c1") > 0


def test_read_only_snapshots_refuse_writes(snapshotter: KeyedSnapshots, top: str) -> None:
    snapshotter.prepare("c1", top, read_only=True)
    assert snapshotter.upper("c1") == ""
    assert "Read-only file system" in _inside(snapshotter, "c1", "echo x > new")
    assert _inside(snapshotter, "c1", "cat etc/passwd") == "changed"


def test_a_snapshot_can_stand_on_nothing(snapshotter: KeyedSnapshots) -> None:
    snapshotter.prepare("c1", "")
    assert _inside(snapshotter, "c1", "mkdir a && ls") == "a\n"
    snapshotter.prepare("c2", "", read_only=True)
    assert _inside(snapshotter, "c2", "ls") == ""


def test_the_root_has_the_attributes_of_the_top_layer(snapshotter: KeyedSnapshots, top: str) -> None:
    os.chmod(snapshotter.layers.tree(top), 0o750)
    snapshotter.prepare("c1", top)
    assert stat.S_IMODE(os.stat(snapshotter.upper("c1")).st_mode) == 0o750


def test_keys(snapshotter: KeyedSnapshots, top: str) -> None:
    assert snapshotter.keys() == []
    snapshotter.prepare("c1", top)
    with pytest.raises(Conflict, match="c1 exists already"):
        snapshotter.prepare("c1", top)
    assert (snapshotter.keys(), snapshotter.parent("c1"), snapshotter.used_layers()) == (["c1"], top, {top})
    snapshotter.remove("c1")
    snapshotter.remove("c1")
    assert snapshotter.keys() == []
    for ask in (snapshotter.mounts, snapshotter.upper, snapshotter.parent, snapshotter.usage):
        with pytest.raises(NotFound, match="no snapshot c1"):
            ask("c1")


@pytest.mark.parametrize("key", ["", ".", "..", "a/b", "x" * 201, "a\n", ".hidden"])
def test_keys_that_are_no_names_are_refused(snapshotter: KeyedSnapshots, key: str) -> None:
    with pytest.raises(InvalidArgument, match="snapshot key"):
        snapshotter.prepare(key, "")


def test_a_missing_layer_leaves_no_snapshot(snapshotter: KeyedSnapshots) -> None:
    with pytest.raises(NotFound, match="no layer"):
        snapshotter.prepare("c1", digest(b"nothing"))
    assert snapshotter.keys() == []

"""Pulls from a real registry of images pushed by skopeo, held against what tar and umoci make of the same layers."""

from __future__ import annotations

import asyncio
import fcntl
import gzip
import io
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import archives
from tests.integration import registry
from tests.needs import needs
from utsuwa.errors import NotFound
from utsuwa.image.pull import pull
from utsuwa.image.remove import remove
from utsuwa.image.store import Image, ImageStore

pytestmark = needs("root", "docker-registry", "skopeo", "overlay", "unshare")


def _layer(*members: tuple[str, dict[str, object]]) -> bytes:
    """A PAX archive of (name, attributes of a TarInfo, ``data`` and ``xattrs`` besides)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, attributes in members:
            data = attributes.pop("data", b"")
            assert isinstance(data, bytes)
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(data), archives.MTIME + 0.25
            entry.pax_headers = {f"SCHILY.xattr.{key}": value for key, value in attributes.pop("xattrs", {}).items()}  # type: ignore[attr-defined]
            for key, value in attributes.items():
                setattr(entry, key, value)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


DIRECTORY, SYMLINK, LINK = (
    {"type": tarfile.DIRTYPE, "mode": 0o755},
    {"type": tarfile.SYMTYPE},
    {"type": tarfile.LNKTYPE},
)


def _layers() -> tuple[bytes, ...]:
    busybox = Path("/bin/busybox").read_bytes() if os.path.exists("/bin/busybox") else os.urandom(1 << 20)
    long = "/".join(["deep-directory-name"] * 8)
    base = _layer(
        ("./", DIRECTORY | {}),
        ("bin", DIRECTORY | {}),
        ("bin/busybox", {"data": busybox, "mode": 0o4755}),
        ("bin/sh", SYMLINK | {"linkname": "busybox"}),
        ("bin/[", LINK | {"linkname": "bin/busybox"}),
        ("etc", DIRECTORY | {}),
        ("etc/passwd", {"data": b"root:x:0:0\n"}),
        ("etc/shadow", {"data": b"x", "mode": 0o640, "gid": 42}),
        ("home", DIRECTORY | {"uid": 1000, "gid": 1000, "mode": 0o2770}),
        ("home/note", {"data": b"n", "uid": 1000, "gid": 1000, "xattrs": {"user.note": "value"}}),
        ("old", DIRECTORY | {}),
        ("old/one", {"data": b"1"}),
        ("old/two", {"data": b"2"}),
        (f"{long}/file", {"data": b"deep"}),
        ("tmp", DIRECTORY | {"mode": 0o1777}),
    )
    middle = _layer(
        ("etc/.wh.shadow", {}), ("old", DIRECTORY | {}), ("old/.wh..wh..opq", {}), ("old/three", {"data": b"3"})
    )
    top = _layer(
        ("home/.wh.note", {}), ("bin/ls", LINK | {"linkname": "bin/busybox"}), ("etc/hostname", {"data": b"h"})
    )
    return base, middle, top


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("registry")
    with registry.running(root) as host:
        made = archives.image(*_layers())
        (root / "image.tar").write_bytes(archives.layout(made))
        source = f"oci-archive:{root}/image.tar"
        registry.push(source, f"{host}/app:oci")
        registry.push(source, f"{host}/app:docker", "--format", "v2s2")
        registry.push(source, f"{host}/app:zstd", "--dest-compress", "--dest-compress-format", "zstd")
        yield host


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(str(tmp_path / "root"))


def _listing(store: ImageStore, image: Image) -> list[str]:
    """What a container of the image would see: every file with its attributes, and its content's checksum."""
    store.snapshotter.prepare("look", image.top)
    (mount,) = store.snapshotter.mounts("look")
    at = Path(store.root, "at")
    at.mkdir(exist_ok=True)
    script = f"""
        mount -t overlay overlay -o '{",".join(mount.options)}' '{at}' && cd '{at}' &&
        find . -printf '%p %M %U:%G %l\\n' | sort && find . -type f | sort | xargs md5sum
    """
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    store.snapshotter.remove("look")
    return done.stdout.splitlines()


@pytest.mark.parametrize("tag", ["oci", "docker", "zstd"])
def test_every_format_gives_the_same_tree(host: str, store: ImageStore, tag: str) -> None:
    image = asyncio.run(pull(store, f"{host}/app:{tag}"))
    listing = "\n".join(_listing(store, image))
    for line in (
        "./bin/busybox -rwsr-xr-x 0:0 ",
        "./bin/[ -rwsr-xr-x 0:0 ",
        "./bin/ls -rwsr-xr-x 0:0 ",
        "./bin/sh lrwxrwxrwx 0:0 busybox",
        "./home drwxrws--- 1000:1000",
        "./tmp drwxrwxrwt 0:0",
        "./old/three -rw-r--r-- 0:0 ",
        "./" + "deep-directory-name/" * 8 + "file -rw-r--r-- 0:0 ",
    ):
        assert line in listing
    for gone in ("etc/shadow", "home/note", "old/one", ".wh."):
        assert gone not in listing
    assert (image.size, len(image.chain)) == (store.resolve(image.id).size, 3)


@needs("umoci")
def test_umoci_makes_the_same_of_it(host: str, store: ImageStore, tmp_path: Path) -> None:
    layout = f"{tmp_path}/layout"
    subprocess.run(
        [
            "skopeo",
            "copy",
            "-q",
            "--insecure-policy",
            "--src-tls-verify=false",
            f"docker://{host}/app:oci",
            f"oci:{layout}:app",
        ],
        check=True,
        capture_output=True,
    )
    subprocess.run(
        ["umoci", "raw", "unpack", "--image", f"{layout}:app", f"{tmp_path}/tree"], check=True, capture_output=True
    )
    script = "find . -printf '%p %M %U:%G %l\\n' | sort; find . -type f | sort | xargs md5sum"
    theirs = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path / "tree", capture_output=True, text=True, check=True
    ).stdout
    assert _listing(store, asyncio.run(pull(store, f"{host}/app:oci"))) == theirs.splitlines()


def test_times_and_attributes_survive(host: str, store: ImageStore) -> None:
    image = asyncio.run(pull(store, f"{host}/app:oci"))
    base = Path(store.snapshotter.layers.tree(image.chain[0]))
    assert os.getxattr(base / "home/note", "user.note") == b"value"
    assert (base / "home").stat().st_mtime_ns == archives.MTIME * 10**9 + 250_000_000
    middle = Path(store.snapshotter.layers.tree(image.chain[1]))
    assert stat.S_ISCHR((middle / "etc/shadow").lstat().st_mode)
    assert os.getxattr(middle / "old", "trusted.overlay.opaque") == b"y"


def test_pulled_twice_removed_and_nothing_left(host: str, store: ImageStore) -> None:
    image = asyncio.run(pull(store, f"{host}/app:oci"))
    again = asyncio.run(pull(store, f"{host}/app:docker"))
    assert again.chain == image.chain
    remove(store, f"{host}/app:oci", {})
    remove(store, f"{host}/app:docker", {})
    left = [name for _, _, names in os.walk(store.root) for name in names if name != "lock"]
    assert left == []


def test_a_name_that_is_not_there(host: str, store: ImageStore) -> None:
    with pytest.raises(NotFound, match=rf"{host}/nobody:latest: not found"):
        asyncio.run(pull(store, f"{host}/nobody"))


@pytest.mark.parametrize("moment", ["waiting", "downloading", "downloaded", "unpacked", "committing"])
def test_a_killed_pull_leaves_what_the_next_one_sweeps(host: str, store: ImageStore, moment: str) -> None:
    """SIGKILL at every step; the processes that unpack notice it, and end."""
    program = """
import asyncio, os, signal, sys
from utsuwa.image import pull
from utsuwa.image.store import ImageStore
asyncio.run(pull.pull(ImageStore(sys.argv[1]), sys.argv[2],
    progress=lambda event: os.kill(os.getpid(), signal.SIGKILL) if event.kind == sys.argv[3] else None))
"""
    command = [sys.executable, "-c", program, store.root, f"{host}/app:oci", moment]
    assert subprocess.run(command, env=_environment(), check=False).returncode == -9
    assert store.list() == []
    unpacking = Path(store.root, "snapshots/unpacking")
    # The locks are free as soon as the last process has ended, which is what taking each of them waits for.
    for left in list(unpacking.iterdir()):
        fd = os.open(left, os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.close(fd)
    store.collect()
    assert [name for _, _, names in os.walk(store.root) for name in names if name != "lock"] == []
    assert list(unpacking.iterdir()) == []
    assert asyncio.run(pull(store, f"{host}/app:oci")).names == (f"{host}/app:oci",)


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": "src"}


def test_a_full_disk_is_said_and_nothing_stays(host: str, tmp_path: Path) -> None:
    """A small tmpfs in a mount namespace of its own."""
    program = """
import asyncio, os, sys
from utsuwa import errors
from utsuwa.image.pull import pull
from utsuwa.image.store import ImageStore
store = ImageStore(sys.argv[1])
try:
    asyncio.run(pull(store, sys.argv[2]))
except errors.Unavailable as error:
    print(error)
store.collect()
print(sorted(name for _, _, names in os.walk(sys.argv[1]) for name in names if name != "lock"))
"""
    (tmp_path / "program.py").write_text(program)
    (tmp_path / "disk").mkdir()
    script = f"mount -t tmpfs -o size=1200k tmpfs '{tmp_path}/disk' && '{sys.executable}' '{tmp_path}/program.py' '{tmp_path}/disk/root' '{host}/app:oci'"  # noqa: E501
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], env=_environment(), capture_output=True, text=True, check=False
    )
    assert "no space left on the disk, free some" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_gzip_members_by_other_tools(store: ImageStore, tmp_path: Path) -> None:
    """A layer in several gzip members, as pigz and estargz write them."""
    layer = _layers()[0]

    def members(data: bytes) -> bytes:
        return b"".join(gzip.compress(data[at : at + 5000]) for at in range(0, len(data), 5000))

    from utsuwa.image.load import load_layout

    path = tmp_path / "image.tar"
    path.write_bytes(archives.layout(archives.image(layer, compress=members)))
    assert load_layout(store, str(path), "members").chain == (archives.digest(layer),)

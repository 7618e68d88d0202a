"""Archives of honest authors: everything a layer can hold arrives as it was."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests import archives
from tests.archives import archive, directory, file, hardlink, header, padded, pax, symlink
from tests.needs import needs
from tests.unit.snapshot.conftest import Apply

pytestmark = needs("root")


def _is_whiteout(path: Path) -> bool:
    state = path.lstat()
    return stat.S_ISCHR(state.st_mode) and state.st_rdev == 0


def _is_opaque(path: Path) -> bool:
    return "trusted.overlay.opaque" in os.listxattr(path)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_attributes_of_every_kind_of_file(unpack: Apply, layer: Path, form: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, kind, mode in [
            ("d", tarfile.DIRTYPE, 0o2750),
            ("d/file", tarfile.REGTYPE, 0o4755),
            ("d/link", tarfile.SYMTYPE, 0o777),
            ("d/null", tarfile.CHRTYPE, 0o666),
            ("d/disk", tarfile.BLKTYPE, 0o660),
            ("d/pipe", tarfile.FIFOTYPE, 0o600),
        ]:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.uid, entry.gid, entry.mtime = kind, mode, 1000, 2000, archives.MTIME
            entry.linkname = "file" if kind == tarfile.SYMTYPE else ""
            entry.devmajor, entry.devminor = (1, 3) if kind == tarfile.CHRTYPE else (8, 1)
            entry.size = 5 if name == "d/file" else 0
            tar.addfile(entry, io.BytesIO(b"hello"))
    outcome = unpack(buffer.getvalue())
    modes = {path.name: stat.filemode(path.lstat().st_mode) for path in [layer / "d", *(layer / "d").iterdir()]}
    assert modes == {
        "d": "drwxr-s---",
        "file": "-rwsr-xr-x",
        "link": "lrwxrwxrwx",
        "null": "crw-rw-rw-",
        "disk": "brw-rw----",
        "pipe": "prw-------",
    }
    for path in [layer / "d", *(layer / "d").iterdir()]:
        state = path.lstat()
        assert (state.st_uid, state.st_gid, state.st_mtime) == (1000, 2000, archives.MTIME), path
    assert (layer / "d/null").lstat().st_rdev == os.makedev(1, 3)
    assert (layer / "d/file").read_bytes() == b"hello"
    assert (outcome.entries, outcome.size, outcome.implicit) == (6, 5, {b""})


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_large_ids_and_fine_times(unpack: Apply, layer: Path, form: int) -> None:
    name = "/".join(["component" * 5] * 6) + "/" + "f" * 200
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        entry = tarfile.TarInfo(name)
        entry.uid, entry.gid, entry.size, entry.mtime = (
            3_000_000_000,
            4_000_000_000,
            1,
            1.5 if form == tarfile.PAX_FORMAT else 1,
        )
        tar.addfile(entry, io.BytesIO(b"x"))
        entry = tarfile.TarInfo("s")
        entry.type, entry.linkname = tarfile.SYMTYPE, "t" * 300
        tar.addfile(entry)
    unpack(buffer.getvalue())
    state = (layer / name).stat()
    assert (state.st_uid, state.st_gid) == (3_000_000_000, 4_000_000_000)
    assert state.st_mtime_ns == (1_500_000_000 if form == tarfile.PAX_FORMAT else 1_000_000_000)
    assert os.readlink(layer / "s") == "t" * 300


@pytest.mark.parametrize("form", ["gnu", "0.0", "0.1", "1.0"])
def test_sparse_files_of_gnu_tar(unpack: Apply, layer: Path, tmp_path: Path, form: str) -> None:
    source = tmp_path / "sparse"
    with open(source, "wb") as made:
        for offset in range(0, 40 << 20, 1 << 20):  # enough regions for GNU's extension blocks
            made.seek(offset)
            made.write(b"data at %d" % offset)
        made.truncate(50 << 20)
    options = ["--format=gnu"] if form == "gnu" else ["--format=pax", f"--sparse-version={form}"]
    packed = subprocess.run(
        ["tar", "-C", tmp_path, "--sparse", *options, "-cf", "-", "sparse"], check=True, capture_output=True
    ).stdout
    assert len(packed) < 2 << 20
    unpack(packed + b"")
    made = layer / "sparse"
    assert made.stat().st_blocks * 512 < 2 << 20
    assert made.read_bytes() == source.read_bytes()


def test_hard_links_and_extended_attributes(unpack: Apply, layer: Path) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    attributes = pax({"SCHILY.xattr.user.note": b"a\nb=\0c", "SCHILY.xattr.security.capability": capability})
    unpack(archive(attributes, file("a/b", b"x", mode=0o755), hardlink("c", "a/b"), hardlink("a/d", "./c")))
    assert (layer / "c").stat().st_ino == (layer / "a/b").stat().st_ino == (layer / "a/d").stat().st_ino
    assert os.getxattr(layer / "c", "user.note") == b"a\nb=\0c"
    assert os.getxattr(layer / "c", "security.capability") == capability


def test_policy_attributes_of_another_host_are_left_out(unpack: Apply, layer: Path) -> None:
    unpack(archive(pax({"SCHILY.xattr.security.selinux": b"x"}), file("a")))
    assert os.listxattr(layer / "a") == []


@pytest.mark.parametrize("opaque_first", [True, False])
def test_whiteouts_do_not_depend_on_order(unpack: Apply, layer: Path, opaque_first: bool) -> None:
    marks = [file("d/.wh..wh..opq"), file(".wh.gone"), file(".wh.again"), file(".wh.replaced"), file(".wh.implied")]
    rest = [directory("d"), file("d/new"), directory("again"), file("replaced", b"x"), file("implied/inner")]
    unpack(archive(*(marks + rest if opaque_first else rest + marks)))
    assert _is_opaque(layer / "d")
    assert _is_whiteout(layer / "gone")
    assert _is_opaque(layer / "again") and (layer / "again").is_dir()
    assert (layer / "replaced").read_bytes() == b"x"
    assert _is_opaque(layer / "implied") and (layer / "implied/inner").is_file()
    assert sorted(os.listdir(layer / "d")) == ["new"]


def test_what_aufs_left_is_passed_over(unpack: Apply, layer: Path) -> None:
    unpack(archive(directory(".wh..wh.plnk"), file(".wh..wh.plnk/1.2", b"x" * 600), file(".wh..wh.aufs"), file("a")))
    assert os.listdir(layer) == ["a"]


def test_the_last_of_several_entries_wins(unpack: Apply, layer: Path) -> None:
    outcome = unpack(
        archive(
            file("a", b"old"), file("b/c"), directory("x"), file("a", b"new"), file("b"), file("x/y"), symlink("x", "a")
        )
    )
    assert (layer / "a").read_bytes() == b"new"
    assert (layer / "b").is_file()
    assert os.readlink(layer / "x") == "a"
    assert outcome.implicit == {b""}


def test_files_side_by_side_go_where_their_names_say(unpack: Apply, layer: Path) -> None:
    """Whatever comes between two files of one directory."""
    entries = [file("d/1", b"a"), file("d/2", b"b"), file("d/.wh.x"), file("d/2", b"c")]
    unpack(archive(*entries, hardlink("d/3", "d/1"), file("d/4"), symlink("e", "d"), file("e/5"), file("e/6")))
    assert sorted(os.listdir(layer / "d")) == ["1", "2", "3", "4", "5", "6", "x"]
    assert (layer / "d/2").read_bytes() == b"c" and os.stat(layer / "d/1").st_nlink == 2
    os.unlink(layer / "e")
    unpack(
        archive(file("d/7"), *(file("d/7", bytes([n])) for n in range(3)), directory("d/8"), file("d/8"), file("d/9"))
    )
    assert (layer / "d/7").read_bytes() == b"\2" and (layer / "d/8").is_file() and (layer / "d/9").is_file()


def test_the_root_has_attributes_too(unpack: Apply, layer: Path) -> None:
    outcome = unpack(archive(directory("./", 0o711), file("./a")))
    assert (stat.S_IMODE(layer.stat().st_mode), layer.stat().st_mtime) == (0o711, archives.MTIME)
    assert outcome.implicit == set()


def test_paths_through_links_stay_inside(unpack: Apply, layer: Path) -> None:
    unpack(
        archive(
            directory("usr/lib"), symlink("lib", "usr/lib"), symlink("abs", "/usr"), file("lib/a"), file("abs/lib/b")
        )
    )
    assert sorted(os.listdir(layer / "usr/lib")) == ["a", "b"]


def test_directory_times_survive_what_is_put_into_them(unpack: Apply, layer: Path) -> None:
    unpack(archive(directory("a"), directory("a/b"), file("a/b/c"), file("a/d")))
    assert {path.stat().st_mtime for path in (layer / "a", layer / "a/b")} == {archives.MTIME}


def test_absolute_names_are_taken_as_relative(unpack: Apply, layer: Path) -> None:
    unpack(archive(file("/etc//./hosts", b"x")))
    assert (layer / "etc/hosts").read_bytes() == b"x"


def test_an_archive_may_lack_its_end(unpack: Apply, layer: Path) -> None:
    unpack(file("a", b"x"))
    unpack(archive(file("b")) + bytes(10240))
    unpack(b"")
    assert sorted(os.listdir(layer)) == ["a", "b"]


def test_old_archives_name_directories_by_a_slash(unpack: Apply, layer: Path) -> None:
    unpack(archive(header(b"dir/", b"\0"), padded(b"")))
    assert (layer / "dir").is_dir()


def test_the_archive_of_gnu_tar_comes_out_the_same(unpack: Apply, layer: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for number in range(300):
        where = source / f"d{number % 7}" / f"e{number % 11}"
        where.mkdir(parents=True, exist_ok=True)
        (where / f"f{number}").write_bytes(os.urandom(number * 17))
        os.utime(where / f"f{number}", ns=(0, number * 1_234_567_891))
    packed = subprocess.run(
        ["tar", "-C", source, "--format=posix", "-cf", "-", "."], check=True, capture_output=True
    ).stdout
    unpack(packed)
    assert subprocess.run(["diff", "-r", source, layer], check=False).returncode == 0
    listing = ["find", ".", "-printf", "%p %m %s %T@\n"]
    before, after = (subprocess.run(listing, cwd=at, check=True, capture_output=True).stdout for at in (source, layer))
    files = [sorted(line for line in text.splitlines() if b"/f" in line) for text in (before, after)]
    assert files[0] == files[1]


def test_a_link_to_a_lower_layer_takes_the_place_of_what_was_there(unpack: Apply, layer: Path) -> None:
    outcome = unpack(archive(file("a", b"old"), hardlink("a", "below")))
    assert outcome.links == [(b"a", b"below")]
    assert not (layer / "a").exists()

"""The writer of archives: what it writes, other readers read, and the same tree gives the same bytes."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from pathlib import Path

import pytest

from tests.needs import needs
from utsuwa.errors import InvalidArgument
from utsuwa.snapshot import apply, tar, tree
from utsuwa.snapshot.archive import END, Archiver, blocks, header, member, padding
from utsuwa.snapshot.compression import PIECE, Packer, decompressed

pytestmark = needs("root")


def _archive(folder: Path, newest: int | None = None) -> bytes:
    archiver, fd = Archiver(newest), os.open(folder, tree.DIRECTORY_FLAGS)
    try:
        names = sorted(os.fsencode(name) for name in os.listdir(folder))
        chunks = [c for n in names for c in archiver.put(fd, n, n, os.stat(n, dir_fd=fd, follow_symlinks=False))]
    finally:
        os.close(fd)
    return b"".join(chunks) + END


def _fill(folder: Path) -> None:
    folder.mkdir()
    (folder / "plain").write_bytes(b"text")
    os.link(folder / "plain", folder / "second")
    (folder / ("long" * 30)).write_bytes(b"x" * 513)
    (folder / "link").symlink_to("t" * 150)
    os.mkfifo(folder / "pipe")
    os.mknod(folder / "device", 0o020600, os.makedev(5, 1))
    (folder / "dir").mkdir(0o711)
    os.chown(folder / "dir", 3_000_000, 7)
    os.chmod(folder / "plain", 0o4755)
    os.setxattr(folder / "plain", "user.note", b"a\0b\n")
    for name in os.listdir(folder):
        os.utime(folder / name, ns=(5, 1_600_000_000_123_456_789), follow_symlinks=False)


def test_python_reads_it(tmp_path: Path) -> None:
    _fill(tmp_path / "tree")
    data = _archive(tmp_path / "tree")
    assert len(data) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = {entry.name: entry for entry in archive}
        assert archive.extractfile("plain").read() == b"text"  # type: ignore[union-attr]
    assert sorted(found) == sorted(os.listdir(tmp_path / "tree"))
    assert found["second"].islnk() and found["second"].linkname == "plain"
    assert (found["plain"].mode, found["plain"].pax_headers["SCHILY.xattr.user.note"]) == (0o4755, "a\0b\n")
    assert (found["dir"].uid, found["dir"].gid, found["dir"].mode) == (3_000_000, 7, 0o711)
    assert found["link"].linkname == "t" * 150
    assert (found["device"].devmajor, found["device"].devminor) == (5, 1)
    assert found["pipe"].isfifo()
    assert {entry.mtime for entry in found.values()} == {1_600_000_000}


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        _fill(tmp_path / name)
    assert _archive(tmp_path / "one") == _archive(tmp_path / "two")
    with tarfile.open(fileobj=io.BytesIO(_archive(tmp_path / "one", newest=77))) as archive:
        assert {entry.mtime for entry in archive} == {77}


def test_our_reader_gives_the_same_tree(tmp_path: Path) -> None:
    _fill(tmp_path / "tree")
    data = _archive(tmp_path / "tree")
    (tmp_path / "copy").mkdir()
    umask, top = os.umask(0), os.open(tmp_path / "copy", tree.DIRECTORY_FLAGS)
    try:
        apply.apply(tar.Stream(iter([data])), top)
    finally:
        os.umask(umask)
        os.close(top)
    assert _archive(tmp_path / "copy") == data


def test_a_file_with_holes_is_small(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with open(tmp_path / "tree" / "holes", "wb") as file:
        file.write(b"begin")
        file.seek(1 << 40)
        file.write(b"end")
    data = _archive(tmp_path / "tree")
    assert len(data) < 1 << 20
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        entry = archive.getmember("holes")
        assert entry.size == (1 << 40) + 3
        stream = archive.extractfile(entry)
        assert stream is not None and stream.read(5) == b"begin"
        stream.seek(1 << 40)
        assert stream.read() == b"end"


def test_a_socket_is_left_out_and_odd_attributes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "tree" / "socket"))
    assert _archive(tmp_path / "tree") == END
    (tmp_path / "tree" / "file").touch()
    os.setxattr(tmp_path / "tree" / "file", "user.a=b", b"")
    with pytest.raises(InvalidArgument, match="file: an attribute with ="):
        _archive(tmp_path / "tree")


def test_a_large_member() -> None:
    data = header(member(b"big", size=1 << 40, mtime=-5_000_000_000))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        entry = archive.next()
        assert entry is not None
        assert (entry.name, entry.size, entry.mtime) == ("big", 1 << 40, -5)
    assert [len(padding(size)) for size in (0, 1, 512, 513)] == [0, 511, 0, 511]


def test_packing_does_not_depend_on_the_chunks() -> None:
    data = os.urandom(1000) * 3000
    packed = set()
    for step in (777, PIECE, len(data)):
        packer = Packer()
        packed.add(b"".join(packer.pack(data[at : at + step]) for at in range(0, len(data), step)) + packer.finish())
    assert len(packed) == 1
    source = io.BytesIO(packed.pop())
    assert b"".join(decompressed(source.read)) == data


def test_blocks_hold_the_same_bytes() -> None:
    chunks = [b"a" * 512, b"b" * 11_000, b""] * 300 + [b"c" * (3 << 20)] + [b"d"]
    found = list(blocks(iter(chunks)))
    assert b"".join(found) == b"".join(chunks)
    assert all(len(each) >= 1 << 20 for each in found[:-1]) and len(found) == 5
    assert list(blocks([])) == []

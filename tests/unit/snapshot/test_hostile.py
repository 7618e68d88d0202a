"""Archives of enemies: refused with a clear error, and nothing outside the layer is touched."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from tests.archives import MTIME, archive, directory, file, hardlink, header, padded, pax, seal, symlink
from tests.needs import needs
from tests.unit.snapshot.conftest import Apply
from utsuwa.errors import Error, InvalidArgument, PermissionDenied, Unavailable, Unsupported
from utsuwa.snapshot import apply, compression

pytestmark = needs("root")

SPARSE_1 = {"GNU.sparse.major": b"1", "GNU.sparse.minor": b"0", "GNU.sparse.name": b"s", "GNU.sparse.realsize": b"10"}
LONG_LINKS = [symlink(f"l{n}", f"l{n - 1}/" + "d/" * 35) for n in range(1, 30)]
LINK_BOMB = [symlink("l0", ".")] + [symlink(f"l{n}", f"l{n - 1}/l{n - 1}") for n in range(1, 41)]


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ([file("../evil")], r"\.\. leads out"),
        ([file("a/../../evil")], r"\.\. leads out"),
        ([file("/../evil")], r"\.\. leads out"),
        ([symlink("out", "/../../outside"), file("out/evil")], "leads out of the layer"),
        ([symlink("out", "../outside"), file("out/evil")], "leads out of the layer"),
        ([symlink("out", "/tmp"), file("out/evil")], "which the layer lacks"),
        ([symlink("a", "b"), symlink("b", "a"), file("a/evil")], "too many symbolic links"),
        ([symlink("a", "a/a"), file("a/evil")], "too many symbolic links"),
        ([*LINK_BOMB, file("l40/evil")], "too many symbolic links"),
        ([symlink("a", "x/" * 40), file("a/evil")], "which the layer lacks"),
        ([file("f"), file("f/evil")], "not a directory"),
        ([file("d/1"), file("d/2"), symlink("d", "/etc"), file("d/evil")], "which the layer lacks"),
        ([symlink("l", "."), file("l/a"), file("l/l"), file("l/evil")], "not a directory"),
        ([file("d/1"), file("d/..")], r"\.\. leads out"),
        ([file("d/1"), pax({"path": b"d/a\0b"}), file("a")], "NUL"),
        ([hardlink("a", "../../etc/passwd")], r"\.\. leads out"),
        ([hardlink("a", "a")], "to itself"),
        ([hardlink("a", "")], "without a target"),
        ([directory("d"), hardlink("a", "d")], "no file of the layer"),
        ([symlink("out", "/etc"), hardlink("a", "out/passwd")], "which the layer lacks"),
        ([symlink("a", "")], "without a target"),
        ([file(".wh..")], "nothing that can be named"),
        ([file(".wh...")], "nothing that can be named"),
        ([file("d/.wh.")], "nothing that can be named"),
        ([file(".wh.d/x")], "can't be a directory"),
        ([symlink("out", "/etc"), file("out/.wh.passwd")], "which the layer lacks"),
        ([symlink("out", "/etc"), file("out/.wh..wh..opq")], "which the layer lacks"),
        ([header(b"dev", b"3")], "mark of a deletion"),
        ([header(b"dev", b"3", device=(4096, 0))], "there is no character device"),
        ([pax({"SCHILY.xattr.trusted.overlay.redirect": b"/etc"}), file("a")], "steers overlayfs"),
        ([pax({"SCHILY.xattr.user.overlay.opaque": b"y"}), file("a")], "steers overlayfs"),
        ([pax({"SCHILY.xattr.trusted.overlay.opaque": b"y"}), directory("./")], "steers overlayfs"),
        ([pax({"uid": b"4294967295"}), file("a")], "not a user and group ID"),
        ([pax({"path": b"a\0b"}), file("a")], "NUL"),
        ([pax({"size": b"-1"}), file("a")], "not a number"),
        ([pax({"size": b"9" * 30}), file("a")], "not a number"),
        ([pax({"mtime": b"nan"}), file("a")], "not a number"),
        ([file("x" * 99 + "/" + "deep/" * 0 + "ok"), pax({"path": b"d/" * 300 + b"f"}), file("a")], "levels"),
        ([pax({"path": b"n" * 300}), file("a")], "too long"),
        ([header(b"p", b"x", 2 << 20)], "extended header of"),
        ([header(b"p", b"x", 8), padded(b"99 a=b\n\0"), file("a")], "damaged PAX"),
        ([pax({"GNU.sparse.size": b"10", "GNU.sparse.map": b"5,4,0,4"}), file("s", b"12345678")], "impossible map"),
        ([pax({"GNU.sparse.size": b"10", "GNU.sparse.map": b"8,8"}), file("s", b"12345678")], "impossible map"),
        ([pax(SPARSE_1), file("s", b"99999999\n")], "impossible map"),
        ([pax(SPARSE_1), file("s", b"99999999\n".ljust(512, b"0"))], "regions"),
        ([pax(SPARSE_1), file("s", b"x" * 5000)], "impossible map"),
        ([pax(SPARSE_1), file("s", b"2\nx\n".ljust(512, b"0"))], "not a number"),
        ([pax({"GNU.sparse.size": b"9" * 20, "GNU.sparse.map": b""}), file("s")], "a file of 9{20} bytes"),
        ([pax({"GNU.sparse.size": b"%d" % (1 << 61)}), file("s")], "too large"),
        ([pax({"SCHILY.xattr.user.a\0b": b"x"}), file("a")], "NUL byte in its name"),
        ([pax({"SCHILY.xattr.": b"x"}), file("a")], "too large|out of range"),
        ([*LONG_LINKS, file("l29/f")], "lacks|too many"),
        ([header(b"./", b"0")], "root must be a directory"),
        ([b"not a tar at all".ljust(512)], "not an octal number|checksum"),
        ([bytes(512), file("behind")], "goes on behind its end"),
    ],
)
def test_hostile_archives_are_refused(unpack: Apply, layer: Path, entries: list[bytes], text: str) -> None:
    around = sorted(os.listdir(layer.parent))
    with pytest.raises(InvalidArgument, match=text):
        unpack(b"".join(entries) + bytes(1024))
    assert sorted(os.listdir(layer.parent)) == around
    assert not os.path.exists("/tmp/evil")


@pytest.mark.parametrize("cut", [100, 512, 700, 1000])
def test_truncated_archives_are_refused(unpack: Apply, cut: int) -> None:
    with pytest.raises(InvalidArgument, match="truncated"):
        unpack(file("a", b"x" * 900)[:cut])


def test_a_damaged_header_is_refused(unpack: Apply) -> None:
    damaged = bytearray(file("a"))
    damaged[0] ^= 1
    with pytest.raises(InvalidArgument, match="checksum"):
        unpack(bytes(damaged) + bytes(1024))


def test_base_256_numbers_are_read_and_negative_sizes_refused(unpack: Apply, layer: Path) -> None:
    entry = bytearray(file("a"))
    entry[136:148] = b"\x80" + (MTIME + 1).to_bytes(11, "big")
    unpack(archive(seal(entry)))
    assert (layer / "a").stat().st_mtime == MTIME + 1
    entry[124:136] = b"\xff" * 12
    with pytest.raises(InvalidArgument, match="negative size"):
        unpack(archive(seal(entry)))


def test_unknown_kinds_are_named(unpack: Apply) -> None:
    with pytest.raises(Unsupported, match="entry of type b'V'"):
        unpack(archive(header(b"volume", b"V")))


def test_devices_are_refused_where_not_allowed(unpack: Apply) -> None:
    for kind in (b"3", b"4"):
        with pytest.raises(PermissionDenied, match=r"device 1:3 here"):
            unpack(archive(header(b"null", kind, device=(1, 3))), apply.Limits(devices=False))


@pytest.mark.parametrize(
    ("limits", "data", "error"),
    [
        (apply.Limits(entries=3), archive(*(file(f"f{n}") for n in range(4))), InvalidArgument),
        (apply.Limits(depth=2), archive(file("a/b/c")), InvalidArgument),
        (apply.Limits(size=1000), archive(file("a", b"x" * 600), file("b", b"x" * 600)), InvalidArgument),
        (apply.Limits(reserve=1 << 62), archive(file("a", b"x")), Unavailable),
        (apply.Limits(trailing=4096), archive() + bytes(8192), InvalidArgument),
    ],
)
def test_ceilings_hold(unpack: Apply, limits: apply.Limits, data: bytes, error: type[Error]) -> None:
    with pytest.raises(error):
        unpack(data, limits)


def test_names_in_messages_can_not_write_to_the_terminal(unpack: Apply) -> None:
    with pytest.raises(InvalidArgument) as caught:
        unpack(archive(header(b"\x1b[2J\xff/../x")))
    assert "\x1b" not in str(caught.value)


def test_a_compressed_bomb_comes_in_small_pieces() -> None:
    source = [gzip.compress(bytes(300 << 20), 9)]
    total = 0
    for piece in compression.decompressed(lambda _count: source.pop() if source else b""):
        assert len(piece) <= compression.PIECE
        total += len(piece)
    assert total == 300 << 20

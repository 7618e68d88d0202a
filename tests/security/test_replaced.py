"""Things of a running container that become others between two looks at them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.archives import header, pax
from tests.needs import needs
from utsuwa.engine.inside import Inside
from utsuwa.engine.unpacking import Unpacker
from utsuwa.errors import Unavailable
from utsuwa.snapshot.archive import Archiver
from utsuwa.snapshot.extents import extents
from utsuwa.snapshot.merged import is_opaque

KINDS: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "file": lambda path: path.write_bytes(b"new"),
    "link": lambda path: path.symlink_to("/etc/passwd"),
    "directory": Path.mkdir,
    "pipe": os.mkfifo,
    "socket": lambda path: os.mknod(path, stat.S_IFSOCK | 0o644),
}


@pytest.mark.parametrize("before", ["file", "link", "pipe"])
@pytest.mark.parametrize("after", KINDS)
def test_what_is_archived_is_what_was_looked_at(tmp_path: Path, before: str, after: str) -> None:
    """Proven: links that were files, and files that were links, ended copies with `invalid argument` or `too many
    levels of symbolic links`.
    """
    path = tmp_path / "x"
    KINDS[before](path)
    state = path.lstat()
    path.unlink()
    KINDS[after](path)
    parent = os.open(tmp_path, os.O_RDONLY)
    try:
        data = b"".join(Archiver().put(parent, b"x", b"x", state))
    finally:
        os.close(parent)
    assert len(data) % 512 == 0 and b"root:" not in data
    if before == after:
        assert data
    elif before != "pipe":
        assert not data


def test_a_file_that_grows_has_no_data_beyond_its_end(tmp_path: Path) -> None:
    """Proven: a region began behind its end, and the archive's sizes were negative."""
    with open(tmp_path / "x", "wb") as file:
        file.seek(1 << 22)
        file.write(b"late")
        file.flush()
        assert list(extents(file.fileno(), 1 << 21)) == []


def test_a_file_that_fills_the_disk_is_not_begun(tmp_path: Path) -> None:
    """Copied out of a container. Proven: it was written until nothing was left for anybody."""
    top = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(Unavailable, match="no space left"):
            Unpacker(Inside(top), b"", rights=False).run(iter([pax({"size": b"%d" % (1 << 60)}), header(b"x")]))
    finally:
        os.close(top)


@needs("root")
def test_a_container_hides_nothing_from_us(tmp_path: Path) -> None:
    """The mark of an opaque directory that the kernel does not go by, but any container can set.

    Proven: what lay below was missing in the layer that was made of it, while the container saw it.
    """
    parent = os.open(tmp_path, os.O_RDONLY)
    try:
        os.setxattr(parent, "user.overlay.opaque", b"y")
        assert not is_opaque(parent)
        os.setxattr(parent, "trusted.overlay.opaque", b"y")
        assert is_opaque(parent)
    finally:
        os.close(parent)

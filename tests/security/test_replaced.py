"""Things of a running container that become others between two looks at them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.needs import needs
from utsuwa.snapshot.archive import Archiver
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

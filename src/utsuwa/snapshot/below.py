"""What a layer takes from the layers below it: attributes of directories its archive assumed, and files it only links
to.

The layers below were made by the same code, but from archives of the same enemy: every name is walked by descriptors,
no link followed.
"""

from __future__ import annotations

import os
import stat

from utsuwa.errors import InvalidArgument
from utsuwa.snapshot import tree
from utsuwa.snapshot.extents import copy_data, need_room
from utsuwa.snapshot.merged import is_opaque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.snapshot.apply import Outcome


class Below:
    """The layer open at ``top``, above the layers at ``lower`` (directories, top first)."""

    def __init__(self, top: int, lower: list[str]) -> None:
        self._top = top
        self._lower = [os.open(path, tree.DIRECTORY_FLAGS) for path in lower]

    def close(self) -> None:
        """Close the lower layers."""
        for fd in self._lower:
            os.close(fd)
        self._lower = []

    def settle(self, outcome: Outcome) -> None:
        """Copy up what the layer's archive left to the layers below; raises InvalidArgument for links to nowhere."""
        for path, target in outcome.links:
            self._link(path, target, outcome)
        for path in sorted(outcome.implicit, key=len, reverse=True):
            source = self._find(path)
            if source is None:
                continue
            fd = _open_path(self._top, path)
            try:
                if stat.S_ISDIR(os.fstat(source).st_mode):
                    copy_attributes(source, fd)
            finally:
                os.close(fd)
                os.close(source)

    def _find(self, path: bytes) -> int | None:
        """A descriptor (O_PATH for what is no file or directory) of what ``path`` is in the layers below, None when
        nothing.
        """
        parts = path.split(b"/") if path else []
        for layer in self._lower:
            found, hidden = _look(layer, parts)
            if found is not None or hidden:
                return found
        return None

    def _link(self, path: bytes, target: bytes, outcome: Outcome) -> None:
        source = self._find(target)
        if source is None:
            raise InvalidArgument(f"{tree.show(path)}: a hard link to {tree.show(target)}, which is in no layer")
        try:
            if not stat.S_ISREG(os.fstat(source).st_mode):
                raise InvalidArgument(
                    f"{tree.show(path)}: a hard link to {tree.show(target)}, which is no regular file"
                )
            parent, name = _make_parents(self._top, target, outcome)
            try:
                # a link costs an archive 512 bytes, and us a copy
                need_room(self._top, os.fstat(source).st_blocks * 512)
                outcome.size += copy_file(source, parent, name)
            except FileExistsError:
                pass  # an earlier link brought it up, or the archive has it after all
            other, alias = _make_parents(self._top, path, outcome)
            try:
                os.link(name, alias, src_dir_fd=parent, dst_dir_fd=other, follow_symlinks=False)
            except FileExistsError:
                pass  # a later entry of the archive took the name
            finally:
                os.close(other)
                os.close(parent)
        finally:
            os.close(source)


def _look(layer: int, parts: list[bytes]) -> tuple[int | None, bool]:
    """What one layer has at a path: (descriptor, False), (None, True) when it hides what is below, or (None, False)."""
    fd = os.dup(layer)
    hidden = False
    for place, part in enumerate(parts):
        hidden = hidden or is_opaque(fd)
        try:
            state = os.stat(part, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            os.close(fd)
            return None, hidden
        is_last = place == len(parts) - 1
        if tree.is_whiteout(state) or not (is_last or stat.S_ISDIR(state.st_mode)):
            os.close(fd)
            return None, True
        readable = stat.S_ISREG(state.st_mode) or stat.S_ISDIR(state.st_mode)
        flags = os.O_RDONLY if readable else os.O_PATH
        inner = os.open(part, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        os.close(fd)
        fd = inner
    return fd, hidden


def _open_path(top: int, path: bytes) -> int:
    fd = os.dup(top)
    for part in path.split(b"/") if path else ():
        inner = os.open(part, tree.DIRECTORY_FLAGS, dir_fd=fd)
        os.close(fd)
        fd = inner
    return fd


def _make_parents(top: int, path: bytes, outcome: Outcome) -> tuple[int, bytes]:
    """The directory that holds ``path``, made where missing (and noted as implicit), and the last name."""
    *parents, name = path.split(b"/")
    fd = os.dup(top)
    for place, part in enumerate(parents):
        try:
            inner = os.open(part, tree.DIRECTORY_FLAGS, dir_fd=fd)
        except FileNotFoundError:
            os.mkdir(part, 0o755, dir_fd=fd)
            outcome.implicit.add(b"/".join(parents[: place + 1]))
            inner = os.open(part, tree.DIRECTORY_FLAGS, dir_fd=fd)
        except NotADirectoryError:
            os.close(fd)
            raise InvalidArgument(f"{tree.show(path)}: a hard link through what is no directory in the layer") from None
        os.close(fd)
        fd = inner
    return fd, name


def copy_file(source: int, parent: int, name: bytes) -> int:
    """Copy the open file ``source`` to a new ``name``, attributes included, by reflink where there is one; returns its
    size.
    """
    state = os.fstat(source)
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent)
    try:
        copy_data(source, fd)
        copy_attributes(source, fd)
    finally:
        os.close(fd)
    return state.st_size


def copy_attributes(source: int, target: int) -> None:
    """Owner, mode, xattrs (but overlayfs's own) and times, in the order in which none undoes another."""
    state = os.fstat(source)
    os.fchown(target, state.st_uid, state.st_gid)
    os.fchmod(target, stat.S_IMODE(state.st_mode))
    for name in os.listxattr(source):
        if not name.startswith(("trusted.overlay.", "user.overlay.")):
            os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(state.st_atime_ns, state.st_mtime_ns))

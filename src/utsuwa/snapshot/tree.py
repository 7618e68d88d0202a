"""A directory tree walked by descriptors, for contents that an enemy has arranged.

Every step opens one component beneath the directory before it with O_NOFOLLOW, so no name can lead outside the tree.
Symbolic links on the way are read and followed here, inside the tree: ``/lib`` means the tree's own ``/lib``, and
``..`` above its top is refused.
"""

from __future__ import annotations

import errno
import os
import stat

from utsuwa.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Missing = Callable[[int, bytes, bytes], None]
    _Level = tuple[int, bytes | str, list[str]]

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
DEPTH_LIMIT = 512
"""Deepest path of a layer; far beyond any real one, and within Python's stack."""
LINK_LIMIT = 40
"""Most symbolic links followed for one name, as path_resolution(7) has it."""
_KEPT = 64
_TRIES = 8
"""As often something may turn up in a directory after it was emptied."""
_OPEN = 100
"""Levels that a removal has open at once; a process may have 1024 files, and a container makes trees much deeper."""


def split(name: bytes, limit: int = DEPTH_LIMIT) -> list[bytes]:
    """The components of an archived name; absolute ones become relative, ``..`` and more than ``limit`` levels are
    refused.
    """
    if b"\0" in name:
        raise InvalidArgument(f"{show(name)}: a path with a NUL byte")
    parts = [part for part in name.split(b"/") if part and part != b"."]
    if b".." in parts:
        raise InvalidArgument(f"{show(name)}: a path with .. leads out of the layer")
    if len(parts) > limit:
        raise InvalidArgument(f"{show(name)}: a path of {len(parts)} levels, the limit is {limit}")
    return parts


def show(name: bytes) -> str:
    """An archived name, fit for a message."""
    text = name.decode("utf-8", "backslashreplace")
    return "".join(
        c if c.isprintable() else f"\\x{ord(c):02x}" for c in (text if len(text) < 200 else text[:197] + "...")
    )


class Tree:
    """The tree beneath an open directory; keeps the last few directories open. Paths are tuples of components, () the
    top.
    """

    def __init__(self, fd: int) -> None:
        self._top = fd
        self._open: dict[tuple[bytes, ...], int] = {}
        self._followed = 0

    def directory(self, path: tuple[bytes, ...], missing: Missing | None = None) -> tuple[int, tuple[bytes, ...]]:
        """A descriptor of the directory at ``path`` (valid until the next call) and its real path, links followed.

        ``missing(parent_fd, name, path)`` may make a directory where there is none or a whiteout, unless a link leads
        there. Raises OSError with ENOENT or ENOTDIR, and InvalidArgument for links that lead out of the tree, nowhere,
        or in circles.
        """
        known = self._open.get(path)
        if known is not None:
            return known, path
        self._followed = 0
        try:
            return self._directory(path, missing)
        except RecursionError:
            raise InvalidArgument(f"{show(b'/'.join(path))}: a path through too many symbolic links") from None

    def _directory(self, path: tuple[bytes, ...], missing: Missing | None) -> tuple[int, tuple[bytes, ...]]:
        if not path:
            return self._top, path
        known = self._open.get(path)
        if known is not None:
            return known, path
        fd, real = self._directory(path[:-1], missing)
        real = (*real, path[-1])
        known = self._open.get(real)
        if known is not None:
            return known, real
        try:
            return self._keep(real, os.open(path[-1], DIRECTORY_FLAGS, dir_fd=fd)), real
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP) or (
                error.errno == errno.ENOENT and not missing
            ):
                raise
        return self._replace(fd, real, missing)

    def _replace(self, fd: int, path: tuple[bytes, ...], missing: Missing | None) -> tuple[int, tuple[bytes, ...]]:
        """At ``path`` there is no directory: make one of nothing or of a whiteout, or follow a link to one."""
        try:
            state = os.stat(path[-1], dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            state = None
        if state is not None and stat.S_ISLNK(state.st_mode):
            return self._follow(fd, path)
        if missing and (state is None or is_whiteout(state)):
            missing(fd, path[-1], b"/".join(path))
            return self._keep(path, os.open(path[-1], DIRECTORY_FLAGS, dir_fd=fd)), path
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))

    def _follow(self, fd: int, path: tuple[bytes, ...]) -> tuple[int, tuple[bytes, ...]]:
        self._followed += 1
        if self._followed > LINK_LIMIT:
            raise InvalidArgument(f"{show(b'/'.join(path))}: a path through too many symbolic links")
        target = self._link_target(fd, path)
        try:
            return self._directory(target, None)
        except FileNotFoundError:
            where = show(b"/".join(target))
            raise InvalidArgument(f"a path leads through a symbolic link to /{where}, which the layer lacks") from None

    @staticmethod
    def _link_target(fd: int, path: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Where the link at ``path`` points, as a path from the top; only the end of ``path`` itself is a link."""
        target = os.readlink(path[-1], dir_fd=fd)
        where = [] if target.startswith(b"/") else list(path[:-1])
        for part in target.split(b"/"):
            if part == b"..":
                if not where:
                    raise InvalidArgument(f"{show(b'/'.join(path))}: a symbolic link leads out of the layer")
                where.pop()
            elif part and part != b".":
                where.append(part)
        if len(where) > DEPTH_LIMIT:
            raise InvalidArgument(f"{show(b'/'.join(path))}: a symbolic link of {len(where)} levels")
        return tuple(where)

    def _keep(self, path: tuple[bytes, ...], fd: int) -> int:
        if len(self._open) >= _KEPT:
            oldest = next(iter(self._open))
            os.close(self._open.pop(oldest))
        self._open[path] = fd
        return fd

    def forget(self, path: tuple[bytes, ...]) -> None:
        """Close what is kept open at and beneath ``path``, before it is removed."""
        for kept in [kept for kept in self._open if kept[: len(path)] == path]:
            os.close(self._open.pop(kept))

    def close(self) -> None:
        """Close what is kept open; the top's descriptor is its owner's."""
        self.forget(())


def is_whiteout(state: os.stat_result) -> bool:
    """Whether a file is overlayfs's mark of a deletion: a character device 0:0."""
    return stat.S_ISCHR(state.st_mode) and state.st_rdev == 0


def remove(name: bytes | str, parent: int | None = None) -> None:
    """Remove a file or a whole tree at ``name`` beneath the directory ``parent``; gone already is fine, and so is what
    somebody else removes meanwhile, or renames. No link is followed.

    Works off a list instead of recursion: an archive may be deeper than Python's stack.
    """
    try:
        os.unlink(name, dir_fd=parent)
        return
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.EPERM):
            raise
    stack: list[_Level] = []
    again = _TRIES
    try:
        _enter(stack, name, parent)
        while stack:
            fd, _, inner = stack[-1]
            if inner and len(stack) < _OPEN:
                _enter(stack, inner.pop(), fd)
                continue
            if inner:
                stack[0][2].append(_lifted(inner.pop(), fd, stack[0][0]))
                continue
            _, done, _ = stack.pop()
            os.close(fd)
            above = stack[-1][0] if stack else parent
            try:
                os.rmdir(done, dir_fd=above)
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno != errno.ENOTEMPTY or not again:
                    raise
                again -= 1
                _enter(stack, done, above)
    finally:
        for fd, _, _ in stack:
            os.close(fd)


def _enter(stack: list[_Level], name: bytes | str, parent: int | None) -> None:
    """Open a directory and unlink its files; the directories that are left in it are what is to be done next."""
    try:
        fd = os.open(name, DIRECTORY_FLAGS, dir_fd=parent)
    except FileNotFoundError:
        return
    inner: list[str] = []
    stack.append((fd, name, inner))
    with os.scandir(fd) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                inner.append(entry.name)
                continue
            try:
                os.unlink(entry.name, dir_fd=fd)
            except FileNotFoundError:
                continue


def _lifted(name: bytes | str, parent: int, top: int) -> str:
    """Move a directory out of the depth, to the top of what is being removed; its name there."""
    lifted = f".{os.urandom(8).hex()}"
    os.rename(name, lifted, src_dir_fd=parent, dst_dir_fd=top)
    return lifted

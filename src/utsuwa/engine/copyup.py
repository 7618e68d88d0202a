"""Filling a new volume with what an image has at its place: a merged view of the layers, read as overlayfs would show
it.

The image is hostile: no path of it is resolved by the kernel. Every step opens one name in one directory descriptor
with O_NOFOLLOW, and symbolic links on the way are resolved here, within the layers.
"""

from __future__ import annotations

import os
import stat

from utsuwa.snapshot.extents import copy_data
from utsuwa.snapshot.merged import is_opaque

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINKS = 40
"""As many symbolic links as the kernel follows in one path."""


def copy_up(trees: list[str], target: str, destination: str) -> None:
    """Copy what the layers (host directories, top first) hold at directory ``target`` into ``destination``."""
    roots = [os.open(tree, _DIRECTORY) for tree in trees]
    try:
        found = _find(roots, target)
        if found:
            out = os.open(destination, _DIRECTORY)
            try:
                _copy_directory(found, out)
            finally:
                os.close(out)
                _close(found)
    finally:
        _close(roots)


def below(trees: list[str], path: str) -> list[str]:
    """The host paths that make up the directory ``path`` of the layers (top first), or of the one file there; [] when
    there is nothing.
    """
    roots = [os.open(tree, _DIRECTORY) for tree in trees]
    try:
        found = _find(roots, path)
        if found:
            paths = [os.readlink(f"/proc/self/fd/{fd}") for fd in found]
            _close(found)
            return paths
        for _ in range(_LINKS):
            folder, _, name = path.rpartition("/")
            found = _find(roots, folder)
            layers = _lookup(found, name)
            link = _link(layers, name)
            places = [f"{os.readlink(f'/proc/self/fd/{fd}')}/{name}" for fd, _state in layers[:1]]
            _close(found)
            if link is None:
                return places
            path = link if link.startswith("/") else f"{folder}/{link}"
        return []
    finally:
        _close(roots)


def read_file(trees: list[str], path: str, limit: int) -> bytes:
    """The beginning of a regular file of the layers, at most ``limit`` bytes; b"" when there is none."""
    roots = [os.open(tree, _DIRECTORY) for tree in trees]
    try:
        for _ in range(_LINKS):
            folder, _, name = path.rpartition("/")
            found = _find(roots, folder)
            try:
                layers = _lookup(found, name)
                link = _link(layers, name)
                if link is None:
                    return _content(layers, name, limit)
            finally:
                _close(found)
            path = link if link.startswith("/") else f"{folder}/{link}"
        return b""
    finally:
        _close(roots)


def _content(layers: list[tuple[int, os.stat_result]], name: str, limit: int) -> bytes:
    if not layers or not stat.S_ISREG(layers[0][1].st_mode):
        return b""
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=layers[0][0])
    try:
        return os.read(fd, limit)
    finally:
        os.close(fd)


def _find(roots: list[int], target: str) -> list[int]:
    """Descriptors of the directories that make up ``target``, top first; none when it is no directory."""
    waiting = [part for part in target.split("/") if part not in ("", ".")]
    done: list[str] = []
    links = 0
    here = [os.dup(fd) for fd in roots]
    while waiting:
        name = waiting.pop(0)
        if name == "..":
            done = done[:-1]
        else:
            layers = _lookup(here, name)
            link = _link(layers, name)
            if link is None and (not layers or not stat.S_ISDIR(layers[0][1].st_mode)):
                _close(here)
                return []
            if link is None:
                _step(here, layers, name)
                done.append(name)
                continue
            links += 1
            if links > _LINKS:
                _close(here)
                return []
            waiting = [part for part in link.split("/") if part not in ("", ".")] + waiting
            if link.startswith("/"):
                done = []
        # After a link or "..", begin again at the root with the path that is known to be free of links.
        waiting = done + waiting
        done = []
        _close(here)
        here = [os.dup(fd) for fd in roots]
    return here


def _step(here: list[int], layers: list[tuple[int, os.stat_result]], name: str) -> None:
    """Go from the merged directory ``here`` into its subdirectory ``name``."""
    inside = [os.open(name, _DIRECTORY, dir_fd=fd) for fd, _state in layers]
    _close(here)
    here[:] = inside


def _lookup(directories: list[int], name: str) -> list[tuple[int, os.stat_result]]:
    """Where a name is to be seen: (directory, state), top first; several only for a directory that is merged."""
    found: list[tuple[int, os.stat_result]] = []
    for fd in directories:
        try:
            state = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if _is_whiteout(state):
            break
        if not stat.S_ISDIR(state.st_mode):
            if not found:
                found.append((fd, state))
            break
        found.append((fd, state))
        if _is_opaque(fd, name):
            break
    return found


def _is_whiteout(state: os.stat_result) -> bool:
    return stat.S_ISCHR(state.st_mode) and state.st_rdev == 0


def _is_opaque(parent: int, name: str) -> bool:
    fd = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        return is_opaque(fd)
    finally:
        os.close(fd)


def _link(layers: list[tuple[int, os.stat_result]], name: str) -> str | None:
    """The target, if what was found is a symbolic link."""
    if not layers or not stat.S_ISLNK(layers[0][1].st_mode):
        return None
    return os.readlink(name, dir_fd=layers[0][0])


def _copy_directory(sources: list[int], out: int) -> None:
    """Copy the merged directory into an empty one, attributes included."""
    for name in _names(sources):
        layers = _lookup(sources, name)
        if not layers:
            continue
        fd, state = layers[0]
        if stat.S_ISDIR(state.st_mode):
            inside = [os.open(name, _DIRECTORY, dir_fd=each) for each, _state in layers]
            os.mkdir(name, 0o700, dir_fd=out)
            below = os.open(name, _DIRECTORY, dir_fd=out)
            try:
                _copy_directory(inside, below)
            finally:
                os.close(below)
                _close(inside)
        else:
            _copy_leaf(fd, name, state, out)
    _attributes(sources[0], out)


def _names(sources: list[int]) -> list[str]:
    return sorted({name for fd in sources for name in os.listdir(fd)})


def _copy_leaf(source: int, name: str, state: os.stat_result, out: int) -> None:
    if stat.S_ISLNK(state.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=out)
        os.chown(name, state.st_uid, state.st_gid, dir_fd=out, follow_symlinks=False)
    elif stat.S_ISREG(state.st_mode):
        _copy_file(source, name, out)
    elif stat.S_ISFIFO(state.st_mode) or stat.S_ISCHR(state.st_mode) or stat.S_ISBLK(state.st_mode):
        os.mknod(name, state.st_mode, state.st_rdev, dir_fd=out)
        os.chown(name, state.st_uid, state.st_gid, dir_fd=out, follow_symlinks=False)
        os.utime(name, ns=(state.st_atime_ns, state.st_mtime_ns), dir_fd=out, follow_symlinks=False)


def _copy_file(source: int, name: str, out: int) -> None:
    read = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=source)
    try:
        write = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=out)
        try:
            copy_data(read, write)
            _attributes(read, write)
        finally:
            os.close(write)
    finally:
        os.close(read)


def _attributes(source: int, out: int) -> None:
    """Owner, mode, times and extended attributes but the overlay's own."""
    state = os.fstat(source)
    os.chown(out, state.st_uid, state.st_gid)
    os.chmod(out, stat.S_IMODE(state.st_mode))
    for name in os.listxattr(source):
        if not name.startswith(("trusted.overlay.", "user.overlay.")):
            try:
                os.setxattr(out, name, os.getxattr(source, name))
            except OSError:  # the volume's file system has no such attributes: Docker copies without them, too
                continue
    os.utime(out, ns=(state.st_atime_ns, state.st_mtime_ns))


def _close(descriptors: list[int]) -> None:
    for fd in descriptors:
        os.close(fd)

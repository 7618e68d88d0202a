"""Snapshots without overlayfs: every snapshot is a full copy of its layers, merged. Slow and large, and it works
anywhere.

<root>/keys/<key>/{tree,snapshot.json}
"""

from __future__ import annotations

import os
import stat

from utsuwa.snapshot import tree
from utsuwa.snapshot.below import copy_attributes, copy_file
from utsuwa.snapshot.keyed import KeyedSnapshots, Snapshot
from utsuwa.snapshot.merged import is_opaque
from utsuwa.spec.mount import Mount


class CopySnapshotter(KeyedSnapshots):
    """Preparing costs time and space of the whole image."""

    complete = True

    def fill(self, directory: str, snapshot: Snapshot) -> None:
        """Lay the layers over one another, from the base up."""
        target = f"{directory}/tree"
        os.mkdir(target, 0o755)
        for name in reversed(self.layers.stack(snapshot.parent)):
            merge(self.layers.tree(name), target)

    def mounts(self, key: str) -> tuple[Mount, ...]:
        """See :meth:`Snapshotter.mounts`."""
        mode = "ro" if self.get(key).readOnly else "rw"
        return (Mount(type="bind", source=f"{self.directory(key)}/tree", options=("rbind", mode)),)

    def upper(self, key: str) -> str:
        """See :meth:`Snapshotter.upper`; here it holds the image as well."""
        return "" if self.get(key).readOnly else f"{self.directory(key)}/tree"


def merge(layer: str, target: str) -> None:
    """Lay the layer at ``layer`` over the tree at ``target``: whiteouts remove, opaque directories replace, the rest is
    copied.
    """
    links: dict[tuple[int, int], tuple[int, bytes]] = {}
    source, made = os.open(layer, tree.DIRECTORY_FLAGS), os.open(target, tree.DIRECTORY_FLAGS)
    try:
        _merge_directory(source, made, links)
    finally:
        os.close(source)
        os.close(made)
        for fd, _ in links.values():
            os.close(fd)


def _merge_directory(source: int, target: int, links: dict[tuple[int, int], tuple[int, bytes]]) -> None:
    for name in os.listdir(f"/proc/self/fd/{source}".encode()):
        state = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISDIR(state.st_mode):
            inner = os.open(name, tree.DIRECTORY_FLAGS, dir_fd=source)
            try:
                _merge_inner(inner, target, name, links)
            finally:
                os.close(inner)
            continue
        tree.remove(name, target)
        if not tree.is_whiteout(state):
            _copy(source, target, name, state, links)
    copy_attributes(source, target)


def _merge_inner(source: int, parent: int, name: bytes, links: dict[tuple[int, int], tuple[int, bytes]]) -> None:
    try:
        merges = not is_opaque(source) and stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        merges = False
    if not merges:
        tree.remove(name, parent)
        os.mkdir(name, 0o700, dir_fd=parent)
    target = os.open(name, tree.DIRECTORY_FLAGS, dir_fd=parent)
    try:
        _merge_directory(source, target, links)
    finally:
        os.close(target)


def _copy(
    source: int, target: int, name: bytes, state: os.stat_result, links: dict[tuple[int, int], tuple[int, bytes]]
) -> None:
    """One file of any kind but a directory; names of one file in the layer become names of one file in the copy."""
    known = links.get((state.st_dev, state.st_ino))
    if known:
        os.link(known[1], name, src_dir_fd=known[0], dst_dir_fd=target, follow_symlinks=False)
        return
    if stat.S_ISREG(state.st_mode):
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
        try:
            copy_file(fd, target, name)
        finally:
            os.close(fd)
    else:
        _copy_special(source, target, name, state)
    if state.st_nlink > 1:
        links[state.st_dev, state.st_ino] = (os.dup(target), name)


def _copy_special(source: int, target: int, name: bytes, state: os.stat_result) -> None:
    if stat.S_ISLNK(state.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    else:
        os.mknod(name, state.st_mode, state.st_rdev, dir_fd=target)
        os.chmod(f"/proc/self/fd/{target}/".encode() + name, stat.S_IMODE(state.st_mode))
    os.chown(name, state.st_uid, state.st_gid, dir_fd=target, follow_symlinks=False)
    os.utime(name, ns=(state.st_atime_ns, state.st_mtime_ns), dir_fd=target, follow_symlinks=False)

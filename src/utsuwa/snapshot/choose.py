"""Which snapshotter a host gets: overlayfs where the kernel has it, copies elsewhere."""

from __future__ import annotations

import os

from utsuwa.errors import InvalidArgument
from utsuwa.snapshot.keyed import KeyedSnapshots
from utsuwa.snapshot.overlay import OverlaySnapshotter


def open_snapshotter(root: str, driver: str = "") -> KeyedSnapshots:
    """The snapshotter beneath ``root``: ``overlay``, ``copy``, or "" for the best this host can."""
    driver = driver or ("overlay" if has_overlay() else "copy")
    if driver == "overlay":
        return OverlaySnapshotter(root)
    if driver == "copy":
        from utsuwa.snapshot.copy import CopySnapshotter

        return CopySnapshotter(root)
    raise InvalidArgument(f'unknown snapshotter "{driver}", use overlay or copy')


def has_overlay() -> bool:
    """Whether the kernel has overlayfs, or a module of it that mounting would load."""
    with open("/proc/filesystems", encoding="ascii") as known:
        if "\toverlay\n" in known.read():
            return True
    return os.path.isdir(f"/lib/modules/{os.uname().release}/kernel/fs/overlayfs")

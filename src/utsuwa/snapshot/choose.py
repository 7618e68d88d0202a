"""Which snapshotter a host gets: overlayfs where the kernel has it, copies elsewhere."""

from __future__ import annotations

import os

from utsuwa.errors import InvalidArgument
from utsuwa.linux.host import in_user_namespace
from utsuwa.snapshot.keyed import KeyedSnapshots
from utsuwa.snapshot.overlay import OverlaySnapshotter


def open_snapshotter(root: str, driver: str = "") -> KeyedSnapshots:
    """The snapshotter beneath ``root``: ``overlay``, ``copy``, or "" for the best this host can.

    What an ordinary user can depends on the kernel and on the file system (overlayfs with ``userxattr``, Linux 5.11; a
    tmpfs has such attributes since 6.6): it is tried once, and written down in ``root``/driver.
    """
    driver = driver or (_tried(root) if in_user_namespace() else "overlay" if has_overlay() else "copy")
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


def _tried(root: str) -> str:
    """What was found out before, or is now."""
    path = f"{root}/driver"
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:
        pass
    found = "overlay" if _mounts_overlay(root) else "copy"
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="ascii") as file:
        file.write(f"{found}\n")
    os.rename(temporary, path)
    return found


def _mounts_overlay(root: str) -> bool:
    """Mount one, as a user's, in a process that ends with it."""
    directory = f"{root}/.try.{os.getpid()}"
    parts = ("lower", "upper", "work", "merged")
    for part in parts:
        os.makedirs(f"{directory}/{part}", 0o700)
    try:
        child = os.fork()
        if child == 0:
            _try(directory)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        from utsuwa.snapshot.tree import remove

        remove(directory)


def _try(directory: str) -> None:
    """Never returns; the exit status tells."""
    try:
        from utsuwa.linux.mounting import leave_mounts, mount

        leave_mounts()
        os.chdir(directory)
        mount("overlay", "merged", "overlay", 0, "lowerdir=lower,upperdir=upper,workdir=work,userxattr")
        os.setxattr("upper", "user.overlay.utsuwa", b"y")
        os.mkdir("merged/made")
        os._exit(0)
    finally:
        os._exit(1)

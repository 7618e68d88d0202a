"""One at a time: who starts a container, or looks into the tree of one that does not run.

Both mount its overlay, and what is written through two mounts of the same one is undefined (the kernel's
Documentation/filesystems/overlayfs.rst, "Sharing and copying layers"). The lock is that of the directory which the
container's root is mounted on; a process that is killed lets go of it.
"""

from __future__ import annotations

import os
from fcntl import LOCK_EX, flock

from utsuwa.errors import NotFound


def hold(directory: str) -> int:
    """Wait for the lock of the container of ``directory`` (ROOT/containers/ID), and have it until the descriptor is
    closed. Raises NotFound.
    """
    try:
        fd = os.open(f"{directory}/rootfs", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(f"No such container: {os.path.basename(directory)}") from None
    try:
        flock(fd, LOCK_EX)
    except BaseException:  # an interrupt
        os.close(fd)
        raise
    return fd

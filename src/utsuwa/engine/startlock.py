"""One at a time: who starts a container, or looks into the tree of one that does not run.

Both mount its overlay, and what is written through two mounts of the same one is undefined (the kernel's
Documentation/filesystems/overlayfs.rst, "Sharing and copying layers"). The lock is that of the directory which the
container's root is mounted on; a process that is killed lets go of it.
"""

from __future__ import annotations

import os
from _thread import get_ident
from fcntl import LOCK_EX, flock

from utsuwa.errors import FailedPrecondition, NotFound

_holders: dict[tuple[int, int], int] = {}
"""Of the locks that this process has, by device and inode of the directory: the thread which took it. Others may wait
for that thread; itself it never could.
"""


class StartLock:
    """The lock of the container of ``directory`` (ROOT/containers/ID): waited for, and had as long as the ``with`` is.

    Raises NotFound, and FailedPrecondition where the same thread has it already.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def __enter__(self) -> None:
        container = os.path.basename(self._directory)
        try:
            self._fd = os.open(f"{self._directory}/rootfs", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound(f"No such container: {container}") from None
        try:
            state = os.fstat(self._fd)
            self._key = state.st_dev, state.st_ino
            if _holders.get(self._key) == get_ident():
                raise FailedPrecondition(
                    f"container {container}: this thread is in the middle of an archive of its files; "
                    "read that to its end or close() it before the container is started or looked into again"
                )
            flock(self._fd, LOCK_EX)
        except BaseException:  # an interrupt
            os.close(self._fd)
            raise
        _holders[self._key] = get_ident()

    def __exit__(self, *_failure: object) -> None:
        del _holders[self._key]
        os.close(self._fd)

"""Copying the data of a file, and leaving its holes where they are; room on the disk.

A hostile image may have a file of terabytes that is one hole: it costs nothing until somebody copies its zeros.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

RESERVE = 64 << 20
"""Bytes that stay free on a disk, whatever an image would like to have: others share it."""
_CHUNK = 1 << 20
_NOT_HERE = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def extents(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Where the first ``size`` bytes of a file have data, as (begin, end); all of it where none can tell."""
    end = 0
    while end < size:
        try:
            begin = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole from here
                return
            raise
        if begin >= size:  # it has grown since
            return
        end = min(os.lseek(fd, begin, os.SEEK_HOLE), size)
        yield begin, end


def need_room(fd: int, size: int) -> None:
    """Raise OSError (ENOSPC) when ``size`` bytes more in the file system of ``fd`` would leave less than RESERVE."""
    disk = os.fstatvfs(fd)
    if disk.f_bavail * disk.f_frsize < RESERVE + size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def copy_data(source: int, target: int) -> None:
    """Fill the empty file ``target`` with the data of ``source``, by reflink where that can be done."""
    size = os.fstat(source).st_size
    for begin, end in extents(source, size):
        offset = begin
        while offset < end and (copied := _copy(source, target, offset, min(_CHUNK, end - offset))):
            offset += copied
    os.ftruncate(target, size)


def _copy(source: int, target: int, offset: int, count: int) -> int:
    try:
        return os.copy_file_range(source, target, count, offset, offset)
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
    os.lseek(target, offset, os.SEEK_SET)
    return os.sendfile(target, source, offset, count)

"""One flush for everything a pull has written: syncfs(2) on the file system that holds it."""

from __future__ import annotations

import errno
import os

from utsuwa.errors import Unavailable, from_oserror


def flush_file_system(path: str) -> None:
    """Write out all that is pending on the file system of ``path``; raises Unavailable when that fails (Linux >= 5.8
    reports it).
    """
    import ctypes  # os has sync() only, which waits for every disk of the machine

    library = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if library.syncfs(fd) < 0:
            failure = OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            if failure.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Unavailable(f"{path}: no space left on the disk, free some and try again")
            raise from_oserror(failure, f"flush {path}")
    finally:
        os.close(fd)

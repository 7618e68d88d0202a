"""One flush for everything a pull has written: syncfs(2) on the file system that holds it."""

from __future__ import annotations

import errno
import os

from utsuwa.errors import Unavailable, from_oserror
from utsuwa.linux.libc import call


def flush_file_system(path: str) -> None:
    """Write out all that is pending on the file system of ``path``; raises Unavailable when that fails (Linux >= 5.8
    reports it).
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        call("syncfs", fd)  # os has sync() only, which waits for every disk of the machine
    except OSError as failure:
        if failure.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Unavailable(f"{path}: no space left on the disk, free some and try again") from failure
        raise from_oserror(failure, f"flush {path}") from failure
    finally:
        os.close(fd)

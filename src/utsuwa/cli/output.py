"""Our own standard streams: there even when the caller closed them, and failing in words."""

from __future__ import annotations

import os
import sys

from utsuwa.errors import from_oserror


def hold_standard_streams() -> None:
    """Open /dev/null in the place of standard streams that are closed: the next file would be taken for one."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def flush() -> None:
    """Write what was printed. Raises BrokenPipeError when nobody reads, an Error for anything else."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise from_oserror(error, "write to standard output") from error


def give_up() -> None:
    """Whoever read our output is gone, or takes no more: keep the interpreter from complaining when it ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)

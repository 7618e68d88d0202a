"""Making, walking and removing cgroup directories."""

from __future__ import annotations

import os
import time

from utsuwa import errors
from utsuwa.cgroup.directory import beneath, failure, peek, walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.cgroup.directory import Top

_FIRST_PAUSE = 0.001
_LAST_PAUSE = 0.5
_PATIENCE = 5.0


def make(path: str, top: Top | None = None) -> list[str]:
    """Make the cgroup ``path`` with its parents; those that were not there before, outermost first."""
    name, fd = beneath(top, path)
    try:
        os.mkdir(name, 0o755, dir_fd=fd)
        return [path]
    except FileExistsError:
        return []
    except FileNotFoundError:
        parent = path.rpartition("/")[0]
        if not parent:
            raise errors.NotFound(f"create cgroup {path}: no such file or directory") from None
    except OSError as error:
        raise failure(error, f"create cgroup {path}") from error
    made = make(parent)
    try:
        return made + make(path)
    except errors.Error:
        unmake(made)
        raise


def unmake(made: list[str]) -> None:
    """Take back what make() made, as far as nobody uses it by now."""
    for path in reversed(made):
        try:
            os.rmdir(path)
        except OSError:
            return


def processes(path: str, recursive: bool = True) -> set[int]:
    """Process ids in the cgroup ``path`` and those below it; none when it is gone."""
    pids: set[int] = set()
    for cgroup, left in walk(path):
        if left:
            continue
        # A threaded cgroup (v2) refuses cgroup.procs; ids of its threads serve as well to signal and to count.
        listing = peek(cgroup, "cgroup.procs")
        listing = peek(cgroup, "cgroup.threads") if listing is None else listing
        pids.update(int(line) for line in (listing or "").split())
        if not recursive:
            break
    pids.discard(0)  # a process that this pid namespace can't name
    return pids


def remove(path: str, top: Top | None = None) -> None:
    """Remove the cgroup ``path`` and all below it, deepest first.

    A killed process leaves its cgroup a moment after its parent learns of the death, hence the retries, 5 s at most.
    FailedPrecondition names the processes that stay.
    """
    name, fd = beneath(top, path)
    if fd is not None and _rmdir(name, fd):
        return
    pause = _FIRST_PAUSE
    deadline = 0.0
    while not _try_remove(path):
        now = time.monotonic()
        deadline = deadline or now + _PATIENCE
        if now >= deadline:
            living = ", ".join(str(pid) for pid in sorted(processes(path))[:10])
            raise errors.FailedPrecondition(f"remove cgroup {path}: still in use by process {living or 'unknown'}")
        time.sleep(pause)
        pause = min(pause * 2, _LAST_PAUSE)


def _try_remove(path: str) -> bool:
    """One attempt, False when the kernel says busy."""
    if _rmdir(path):
        return True
    emptied = False
    for parent, left in walk(path):
        if left:
            emptied = _rmdir(left, parent) or emptied
    return emptied and _rmdir(path)


def _rmdir(path: str, parent: int | None = None) -> bool:
    try:
        os.rmdir(path, dir_fd=parent)
    except FileNotFoundError:
        return True
    except OSError as error:
        if not _in_use(error):
            raise failure(error, f"remove cgroup {path}") from error
        return False
    return True


def _in_use(error: OSError) -> bool:
    import errno

    return error.errno in (errno.EBUSY, errno.ENOTEMPTY)

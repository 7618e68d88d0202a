"""The end of what a container holds of anonymous volumes: the last owner's end is theirs.

    ROOT/volumes/NAME/owners/ID    an anonymous volume goes with its containers; no such directory: it stays by itself

Who changes or removes a volume holds a flock(2) on its directory; so does, shared, who is making a container with it.
"""

from __future__ import annotations

import os
from fcntl import LOCK_EX, LOCK_SH, flock

from utsuwa.monitor import journal

OWNERS = "owners"
GONE = ".gone-"
"""What a volume's name begins with when it is being removed: nobody finds it any more."""


def lock(directory: str, shared: bool = False) -> int | None:
    """A descriptor that holds the lock of a volume until it is closed; None when there is no such volume (any more)."""
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    flock(fd, LOCK_SH if shared else LOCK_EX)
    if is_current(fd, directory):
        return fd
    os.close(fd)
    return None


def is_current(fd: int, directory: str) -> bool:
    """The locked directory is still the volume of that name."""
    try:
        found = os.stat(directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    ours = os.fstat(fd)
    return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)


def owners(directory: str) -> list[str] | None:
    """The ids of the containers that an anonymous volume goes with; None for a volume that stays by itself."""
    try:
        return os.listdir(f"{directory}/{OWNERS}")
    except (FileNotFoundError, NotADirectoryError):
        return None


def release(run: str, directory: str, owner: str) -> bool:
    """The container ``owner`` is being removed with its volumes: whether this one was removed with it, as the journal
    in ``run`` is told.
    """
    held = lock(directory)
    if held is None:
        return False
    try:
        found = owners(directory)
        if found is None or owner not in found:
            return False
        if len(found) > 1:
            os.unlink(f"{directory}/{OWNERS}/{owner}")
            return False
        remove(directory)
        journal.emit(run, "volume", "destroy", os.path.basename(directory), {"driver": "local"})
        return True
    finally:
        os.close(held)


def remove(directory: str) -> None:
    """Remove a volume whose lock is held. By its new name the next sweep finds what a killed remover has left."""
    from utsuwa.snapshot.tree import remove as remove_tree

    parent, name = os.path.split(directory)
    gone = f"{parent}/{GONE}{name}"
    os.rename(directory, gone)
    remove_tree(gone)

"""A stack of layers read as the one tree that overlayfs would show of it, without mounting anything.

The layers were written by enemies: every step opens one name beneath an open directory, and no link is followed.
"""

from __future__ import annotations

import errno
import os
import stat

from utsuwa.linux.host import in_user_namespace
from utsuwa.snapshot import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Merged:
    """One directory of the stack: the directories that make it, the top first, down to one that hides those below.

    Owns its descriptors; use it in a ``with``.
    """

    def __init__(self, directories: Sequence[int]) -> None:
        self.directories = list(directories)

    @classmethod
    def of(cls, paths: Sequence[str]) -> Merged:
        """The root of the layers whose trees are at ``paths``, the top first."""
        made = cls([])
        try:
            for path in paths:
                made.directories.append(os.open(path, tree.DIRECTORY_FLAGS))
        except BaseException:
            made.close()
            raise
        return made

    def entries(self) -> dict[bytes, tuple[os.stat_result, int]]:
        """What is in it: name -> (attributes, the descriptor of the directory that has it)."""
        found: dict[bytes, tuple[os.stat_result, int]] = {}
        for fd in self.directories:
            for name, state in listing(fd).items():
                found.setdefault(name, (state, fd))
        return {name: pair for name, pair in found.items() if not tree.is_whiteout(pair[0])}

    def enter(self, name: bytes) -> Merged:
        """The directory of that name; without directories when there is none."""
        inner = Merged([])
        try:
            for fd in self.directories:
                try:
                    state = os.stat(name, dir_fd=fd, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if not stat.S_ISDIR(state.st_mode):  # a whiteout, or a file: either hides what is below
                    break
                inner.directories.append(os.open(name, tree.DIRECTORY_FLAGS, dir_fd=fd))
                if is_opaque(inner.directories[-1]):
                    break
        except BaseException:
            inner.close()
            raise
        return inner

    def close(self) -> None:
        """Close the descriptors."""
        for fd in self.directories:
            os.close(fd)
        self.directories = []

    def __enter__(self) -> Merged:
        return self

    def __exit__(self, *_failure: object) -> None:
        self.close()


def listing(fd: int) -> dict[bytes, os.stat_result]:
    """Names and attributes of what one directory holds itself; what vanishes meanwhile is left out."""
    found = {}
    with os.scandir(fd) as entries:
        for entry in entries:
            try:
                found[os.fsencode(entry.name)] = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
    return found


def opaque_attribute() -> str:
    """What overlayfs goes by here: in a user namespace, with the mount option ``userxattr``, it is another one.

    The one that it does not go by a container can set, to hide from us what it goes on seeing. Asked whenever it is
    needed: this process may have entered the namespace since it has begun.
    """
    return "user.overlay.opaque" if in_user_namespace() else "trusted.overlay.opaque"


def is_opaque(fd: int) -> bool:
    """Whether a directory of a layer hides what the layers below have at its place."""
    try:
        return os.getxattr(fd, opaque_attribute()) == b"y"
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP, errno.EPERM):
            raise
    return False

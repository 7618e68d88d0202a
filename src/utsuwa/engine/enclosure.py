"""The engine's directory is closed to everybody else on the host.

What containers write lies in it as they wrote it: programs that run with root's rights, and devices. Whoever gets
there needs no container to use them (CVE-2021-41091); and whoever can write there is root.
"""

from __future__ import annotations

import os
import stat

_PARTS = frozenset(("build", "containers", "content", "images", "names", "networks", "snapshots", "volumes"))
_OTHERS = 0o077


def enclose(root: str) -> None:
    """Make ``root`` where it is missing, for its owner alone whatever the umask says; take from others what an earlier
    version, or who made it, gave them. In a directory that has other things, too, this is about our parts of it.

    What can't be done is left to those who need the directory: they say what is wrong with it.
    """
    try:
        mode = os.stat(root).st_mode
    except FileNotFoundError:
        _make(root)
        return
    except OSError:
        return
    if not mode & _OTHERS or not stat.S_ISDIR(mode):
        return
    try:
        names = set(os.listdir(root))
        shared = bool(names - _PARTS)
        for path in [f"{root}/{name}" for name in names & _PARTS] if shared else [root]:
            if os.stat(path).st_mode & _OTHERS:
                os.chmod(path, 0o700)
    except OSError:
        return


def _make(root: str) -> None:
    try:
        os.makedirs(os.path.dirname(root), 0o755, exist_ok=True)
        os.mkdir(root, 0o700)
    except OSError:
        return

"""Whether an ordinary user's containers can have cgroups, and whose: the user's systemd's, or made in what is lent.

Asked whenever one is made. At its start the runtime finds the place: by systemd, or beside the cgroup (v2), or below
the cgroups (v1), that the engine's own processes are in.
"""

from __future__ import annotations

import os

from utsuwa.linux.host import probe

_UNIFIED = "/sys/fs/cgroup/cgroup.controllers"

NONE, FILES, SYSTEMD = "none", "files", "systemd"
"""No cgroup can be had; it is made by its files; systemd makes it."""


def driver(systemd: bool = True) -> str:
    """NONE, FILES or, where ``systemd`` may be asked, SYSTEMD."""
    if systemd and os.path.exists(_UNIFIED) and _has_systemd():
        return SYSTEMD
    return FILES if _is_lent() else NONE


def _has_systemd() -> bool:
    """The user has a systemd, which listens here whether there is a message bus or not."""
    return os.path.exists(f"{os.environ.get('XDG_RUNTIME_DIR') or '/nowhere'}/systemd/private")


def _is_lent() -> bool:
    """We may make cgroups where the runtime would: v2: beside our own, v1: below it, in every hierarchy with limits."""
    host = probe()
    found = []
    for controller, mount in host.cgroup_mounts.items():
        own = host.cgroup_paths.get(controller, "/")
        root = host.cgroup_roots.get(controller, "/").rstrip("/")
        own = own.removeprefix(root).rstrip("/")
        if host.cgroup_mode == "v2":
            place = f"{mount}{own.rpartition('/')[0]}"
            found.append(bool(own) and _is_ours(place) and os.access(f"{place}/cgroup.subtree_control", os.W_OK))
        elif controller and not controller.startswith("name="):
            found.append(_is_ours(f"{mount}{own}"))
    return bool(found) and all(found)


def _is_ours(directory: str) -> bool:
    return all(os.access(path, os.W_OK) for path in (directory, f"{directory}/cgroup.procs"))

"""What CRIU is told not to look into, because it belongs to the host and is there again at restore.

Which mounts these are is read off the plan that makes the container: its binds, and the null devices over masked files.
CRIU finds a mount at dump by its mount point, and at restore mounts under the same name what we tell it.
"""

from __future__ import annotations

import os
import stat

from utsuwa.criu.messages import pair
from utsuwa.errors import NotFound, Unsupported
from utsuwa.linux.namespaces import PROC_NAMES
from utsuwa.plan import ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.plan.plan import Plan
    from utsuwa.spec.runtime import Linux

_NULL = "/dev/null"
_BY_DESCRIPTOR = ("network", "pid")
"""Namespaces that CRIU leaves alone when it is handed them; it joins the others by path."""
_LINKS_FOLLOWED = 40


def mounts_at_dump(plan: Plan, root: str, pid: int) -> list[bytes]:
    """ext_mount_map: mount point in the container -> the name to remember it by; ``root`` is its root on the host."""
    found = []
    for op in plan.ops:
        if isinstance(op, ops.Bind):
            point = resolved(root, op.target)
            found.append(pair(point, point))
        elif isinstance(op, ops.Mask) and _is_device(f"/proc/{pid}/root{op.path}"):
            found.append(pair(op.path, _NULL))
    return found


def mounts_at_restore(plan: Plan, root: str) -> list[bytes]:
    """ext_mount_map: remembered name -> what of the host is mounted there."""
    found = [pair(resolved(root, op.target), op.source) for op in plan.ops if isinstance(op, ops.Bind)]
    if any(isinstance(op, ops.Mask) for op in plan.ops):
        found.append(pair(_NULL, _NULL))
    return found


def _is_device(path: str) -> bool:
    try:
        return stat.S_ISCHR(os.stat(path, follow_symlinks=False).st_mode)
    except OSError:  # not there, and so not masked
        return False


def resolved(root: str, path: str) -> str:
    """``path`` of the container without symbolic links, as its image has them; what is missing stays as it is.

    Only a name to compare with: nothing is opened by it.
    """
    done: list[str] = []
    rest = path.split("/")[::-1]
    links = 0
    while rest:
        name = rest.pop()
        if name == "..":
            del done[-1:]
        elif name not in ("", "."):
            target = _link(os.path.join(root, *done, name))
            if target is None or links == _LINKS_FOLLOWED:
                done.append(name)
                continue
            links += 1
            done = [] if target.startswith("/") else done
            rest += target.split("/")[::-1]
    return "/" + "/".join(done)


def _link(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def namespaces_at_dump(linux: Linux) -> list[str]:
    """Network and pid namespaces that the container only joined, as ``net[4026531840]:extRootNetNS``."""
    found = []
    for namespace in linux.namespaces or ():
        if namespace.path and namespace.type in _BY_DESCRIPTOR:
            inode = os.stat(namespace.path).st_ino
            found.append(f"{PROC_NAMES[namespace.type]}[{inode}]:{_key(namespace.type)}")
    return found


def namespaces_at_restore(linux: Linux) -> tuple[list[tuple[str, int]], list[bytes]]:
    """Joined namespaces: (key, descriptor) of those to be inherited, owned by the caller; join_namespace of the others.

    Raises NotFound for one that is gone, Unsupported for the cgroup namespace, which CRIU can't join.
    """
    inherited: list[tuple[str, int]] = []
    joined: list[bytes] = []
    for namespace in linux.namespaces or ():
        if not namespace.path:
            continue
        if namespace.type == "cgroup":
            raise Unsupported("linux.namespaces: criu can't join a cgroup namespace by its path")
        if namespace.type in _BY_DESCRIPTOR:
            try:
                inherited.append((_key(namespace.type), os.open(namespace.path, os.O_RDONLY | os.O_CLOEXEC)))
            except OSError as error:
                raise NotFound(f"{namespace.type} namespace {namespace.path} does not exist") from error
        else:
            joined.append(pair(PROC_NAMES[namespace.type], namespace.path))
    return inherited, joined


def _key(kind: str) -> str:
    return f"extRoot{PROC_NAMES[kind].capitalize()}NS"

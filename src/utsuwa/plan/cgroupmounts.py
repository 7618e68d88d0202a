"""Mounts of type ``cgroup``: the container's view of its own cgroups, which looks different on every kind of host.

    v2                           one cgroup2 mount; the cgroup namespace decides what its top is
    v1 with cgroup namespace     a tmpfs, and in it a fresh mount for each hierarchy
    v1 without                   a tmpfs, and in it a bind of the container's own directory for each hierarchy
    hybrid                       as v1, and the v2 hierarchy as ``unified``

Controllers that share a hierarchy get a link each (``cpu -> cpu,cpuacct``).
"""

from __future__ import annotations

import os

from utsuwa.errors import FailedPrecondition
from utsuwa.linux.host import UNIFIED
from utsuwa.linux.mounts import MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY
from utsuwa.plan import ops
from utsuwa.plan.plan import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from utsuwa.linux.mounts import Options
    from utsuwa.plan.case import CreateCase

SECTION = "config-linux.md#control-groups"


def attach(case: CreateCase, path: str, options: Options, target: str) -> Iterator[Step]:
    """Everything that one mount of type cgroup takes; ``ro`` holds for all of it."""
    mode, bits = case.host.cgroup_mode, options.set | options.rec_set
    if mode == "none":
        raise FailedPrecondition(f"{path}: no cgroup hierarchy is mounted on this host")
    if mode == "v2":
        yield _unified(case, target, bits)
        return
    strict = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODEV
    yield Step(ops.Mount("tmpfs", "tmpfs", target, ("mode=755",), strict), SECTION)
    for directory, controllers in _hierarchies(case).items():
        yield from _hierarchy(case, f"{target}/{directory}", controllers, bits)
        for controller in controllers:
            name = _plain(controller)
            if name != directory and "," in directory:
                yield Step(ops.Symlink(directory, f"{target}/{name}"), SECTION)
    if UNIFIED in case.host.cgroup_mounts:
        yield _beside(case, f"{target}/unified", bits)
    if bits & MOUNT_ATTR_RDONLY:
        yield Step(ops.Remount(target, MOUNT_ATTR_RDONLY), SECTION)


def _unified(case: CreateCase, target: str, bits: int) -> Step:
    """A cgroup2 mount, and in a user namespace that may not mount it, a bind.

    Without a cgroup namespace that bind shows the host's hierarchy, so it is never writable (CVE-2023-25809).
    """
    source, flags = case.host.cgroup_mounts[UNIFIED], 0
    if case.has("cgroup"):
        source = _own(case, UNIFIED)
    if case.confined_ids:
        flags = ops.FALLBACK_BIND
        bits |= 0 if case.has("cgroup") else MOUNT_ATTR_RDONLY
    return Step(ops.Mount("cgroup2", source if flags else "cgroup", target, (), bits, 0, flags), SECTION)


def _beside(case: CreateCase, target: str, bits: int) -> Step:
    """The v2 hierarchy of a hybrid host."""
    if case.has("cgroup"):
        return _unified(case, target, bits)
    return Step(ops.Bind(_own(case, UNIFIED), target, 1, bits), SECTION)


def _hierarchies(case: CreateCase) -> dict[str, list[str]]:
    """v1 hierarchies by the name of their directory on the host, each with its controllers."""
    found: dict[str, list[str]] = {}
    for controller, mount in case.host.cgroup_mounts.items():
        if controller != UNIFIED:
            found.setdefault(os.path.basename(mount), []).append(controller)
    return found


def _hierarchy(case: CreateCase, target: str, controllers: list[str], bits: int) -> Iterator[Step]:
    if case.has("cgroup"):
        yield Step(ops.Mount("cgroup", "cgroup", target, tuple(controllers), bits), SECTION)
    else:
        yield Step(ops.Bind(_own(case, controllers[0]), target, 1, bits), SECTION)


def _own(case: CreateCase, controller: str) -> str:
    """The container's directory in a hierarchy on the host; without a cgroup of its own, the one it stays in."""
    joined, host = case.options.cgroup, case.host
    if joined:
        directory = joined.unified if controller == UNIFIED else joined.mounts.get(controller, "")
        if directory:
            return directory
    root, path = host.cgroup_roots.get(controller, "/"), host.cgroup_paths.get(controller, "/")
    if root != "/" and (path == root or path.startswith(root + "/")):
        path = path[len(root) :]
    return os.path.normpath(host.cgroup_mounts[controller] + "/" + path)


def _plain(controller: str) -> str:
    """``name=systemd`` is called ``systemd`` in directories."""
    return controller.removeprefix("name=")

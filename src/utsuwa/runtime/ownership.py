"""Whom a container's cgroup belongs to (config-linux.md#cgroup-ownership)."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.spec.runtime import Mount, Spec


def cgroup_owner(spec: Spec) -> int | None:
    """The id on the host of the container's user, who may make cgroups in its own where it may write; None where it may
    not, or is us.
    """
    linux = spec.linux
    namespace = linux.namespace("cgroup") if linux else None
    if linux is None or namespace is None or namespace.path or not any(map(_shows_cgroups, spec.mounts or ())):
        return None
    uid = spec.process.user.uid if spec.process else 0
    for mapping in linux.uidMappings or ():
        if 0 <= uid - mapping.containerID < mapping.size:
            uid += mapping.hostID - mapping.containerID
            break
    else:
        if linux.namespace("user"):
            return None  # nobody knows who that is
    return uid if uid != os.geteuid() else None


def _shows_cgroups(mount: Mount) -> bool:
    """The writable mount that the specification's words are about: by its source, whatever its type."""
    if mount.source != "cgroup" or os.path.normpath(mount.destination) != "/sys/fs/cgroup":
        return False
    return not {"ro", "rro"} & set(mount.options or ())

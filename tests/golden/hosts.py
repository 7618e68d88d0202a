"""Hosts that plans are made for in tests: facts by hand, so that every plan can be read on every machine."""

from __future__ import annotations

from utsuwa.linux.capabilities import ALL, SYS_RESOURCE
from utsuwa.linux.host import Host
from utsuwa.plan.options import CgroupJoin, CreateOptions

BUNDLE = "/bundles/web"
ROOT = "/bundles/web/rootfs"

_ALONE = ("blkio", "cpuset", "devices", "freezer", "memory", "pids")


def _v1_mounts() -> dict[str, str]:
    top = "/sys/fs/cgroup"
    mounts = {controller: f"{top}/{controller}" for controller in _ALONE}
    mounts |= dict.fromkeys(("cpu", "cpuacct"), f"{top}/cpu,cpuacct")
    return mounts | {"name=systemd": f"{top}/systemd"}


V1 = Host(
    cgroup_mode="v1",
    cgroup_mounts=_v1_mounts(),
    cgroup_roots=dict.fromkeys(_v1_mounts(), "/"),
    cgroup_paths=dict.fromkeys(_v1_mounts(), "/"),
)
"""Every controller in a hierarchy of its own, but cpu and cpuacct together; root with all capabilities."""

V2 = Host(
    cgroup_mode="v2",
    cgroup_mounts={"": "/sys/fs/cgroup"},
    cgroup_roots={"": "/"},
    cgroup_paths={"": "/user.slice"},
)
"""The unified hierarchy only."""

HYBRID = V1.replace(
    cgroup_mode="hybrid",
    cgroup_mounts={**V1.cgroup_mounts, "": "/sys/fs/cgroup/unified"},
    cgroup_roots={**V1.cgroup_roots, "": "/"},
    cgroup_paths={**V1.cgroup_paths, "": "/init"},
    bounding=ALL & ~SYS_RESOURCE,
    permitted=ALL & ~SYS_RESOURCE,
    has_kcore=False,
)
"""v1 with cgroup2 beside it, and without CAP_SYS_RESOURCE."""


def v1_join() -> CgroupJoin:
    """A container's cgroups in all hierarchies of V1."""
    mounts = {controller: f"{mount}/web" for controller, mount in V1.cgroup_mounts.items()}
    return CgroupJoin(v1=tuple(dict.fromkeys(mounts.values())), mounts=mounts)


V2_JOIN = CgroupJoin(unified="/sys/fs/cgroup/web")


def state_json(status: str) -> tuple[str, str]:
    """A state document around the pid, as hooks get it."""
    return f'{{"ociVersion":"1.3.0","id":"web","status":"{status}","pid":', ',"bundle":"/bundles/web"}'


def options(host: Host = V1, **changes: object) -> CreateOptions:
    """What `create` decides for a container called web on ``host``."""
    join = V2_JOIN if host.cgroup_mode == "v2" else v1_join()
    if host.cgroup_mode == "hybrid":
        join = join.replace(unified="/sys/fs/cgroup/unified/web")
    usual = {"bundle": BUNDLE, "root": ROOT, "cgroup": join, "keyring": "_ses.web", "state_json": state_json}
    return CreateOptions(**{**usual, **changes})

"""What an ordinary user's containers can't have, and what they have in its place; the rest is refused by name."""

from __future__ import annotations

import os

from utsuwa.errors import Unsupported
from utsuwa.linux.idmaps import is_mapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from utsuwa.spec.request import RunRequest, Seldom
    from utsuwa.spec.runtime import Linux, Mount, Spec

_PING = "net.ipv4.ping_group_range"
_FLAGS = ("nosuid", "noexec", "nodev", "ro")
_TTY = 5
_QUEUES = "/dev/mqueue"
_MOUNTABLE = ("bind", "cgroup", "cgroup2", "devpts", "mqueue", "overlay", "proc", "sysfs", "tmpfs")
"""File systems that a user namespace may mount, or its runtime binds."""
_SELDOM_LIMITS = (
    *("cpu_quota", "cpu_period", "cpu_rt_period", "cpu_rt_runtime", "cpuset_mems", "oom_kill_disable"),
    *("blkio_weight", "blkio_weight_device"),
    *("device_read_bps", "device_write_bps", "device_read_iops", "device_write_iops"),
)


def adapt(spec: Spec, request: RunRequest, *, systemd: bool = True) -> Spec:
    """A configuration without what an ordinary user can't have; ``systemd``: that one's systemd may be asked.

    Raises Unsupported for limits without a cgroup.
    """
    from utsuwa.engine import delegation

    assert spec.linux is not None  # the engine composed it
    resources, kinds, driver = spec.linux.resources, set(), delegation.driver(systemd)
    if request.seldom and request.seldom.device_rules:
        raise Unsupported("unsupported: --device-cgroup-rule (an ordinary user can't load such rules)")
    _check_user(request.user or "")
    _check_score(request.seldom)
    if driver == delegation.NONE:
        refuse_limits(request)
        resources, kinds = None, {"cgroup"}
    elif resources is not None:
        resources = resources.replace(devices=None)
    shown = [_shown(mount, spec.linux) for mount in spec.mounts or () if mount.type not in kinds]
    mounts = [mount for mount in shown if mount.source != _QUEUES or os.path.isdir(_QUEUES)]
    devices = spec.linux.devices
    if request.seldom and request.seldom.devices and not request.privileged:
        mounts, devices = [*mounts, *_bound(request.seldom)], None
    namespaces = tuple(each for each in spec.linux.namespaces or () if each.type not in kinds)
    # The range of groups that may ping ends with one that is not mapped here, and is refused then.
    sysctl = {name: value for name, value in (spec.linux.sysctl or {}).items() if name != _PING} or None
    place = _place(request, (spec.linux.cgroupsPath or "").rpartition("/")[2], driver == delegation.SYSTEMD)
    linux = spec.linux.replace(
        cgroupsPath=place, resources=resources, namespaces=namespaces, sysctl=sysctl, devices=devices
    )
    return spec.replace(mounts=tuple(mounts), linux=linux)


def _bound(seldom: Seldom) -> Iterator[Mount]:
    """The host's nodes in the place of new ones, which a user can't make. Their own rights say who may use them."""
    from utsuwa.engine.seldom import nodes
    from utsuwa.spec.runtime import Mount

    for wanted in seldom.devices:
        for source, node, _access in nodes(wanted):
            yield Mount(destination=node.path, type="bind", source=source, options=("bind", "rprivate"))


def _check_score(seldom: Seldom | None) -> None:
    """Raise Unsupported for a score that would make the kernel spare the container before the user's other processes.

    The runtime leaves such a score out.
    """
    if seldom is None or seldom.oom_score_adj is None:
        return
    with open("/proc/self/oom_score_adj", "rb", buffering=0) as file:
        own = int(file.read())
    if seldom.oom_score_adj < own:
        raise Unsupported(f"unsupported: --oom-score-adj {seldom.oom_score_adj} (this user has {own} and more)")


def _check_user(asked: str) -> None:
    """Raise Unsupported for a number that no id of the host's stands for; names are looked up inside, later."""
    for number, kind in zip(asked.split(":"), ("uid", "gid"), strict=False):
        if number.isascii() and number.isdigit() and not is_mapped(int(number), kind):
            raise Unsupported(f"unsupported: {kind} {number} (this user has no such id: see /etc/sub{kind})")


def _shown(mount: Mount, linux: Linux) -> Mount:
    """What shows a namespace of the host's can only be bound from there: to mount it is for who owns the namespace.
    The group of terminals is only there where it was lent.
    """
    if mount.type and mount.type not in _MOUNTABLE and not {"bind", "rbind"} & set(mount.options or ()):
        raise Unsupported(
            f"unsupported: a volume of type {mount.type} at {mount.destination} (only root can mount these: "
            "have it mounted on the host, and use -o type=none -o o=bind -o device=PATH)"
        )
    if mount.type == "devpts" and not is_mapped(_TTY, "gid"):
        return mount.replace(options=tuple(word for word in mount.options or () if word != f"gid={_TTY}"))
    of_host = {"proc": "pid", "mqueue": "ipc"}.get(mount.type or "")
    if of_host is None or linux.namespace(of_host) is not None:
        return mount
    options = ("rbind", "rprivate", *(word for word in mount.options or () if word in _FLAGS))
    return mount.replace(type="bind", source="/proc" if of_host == "pid" else _QUEUES, options=options)


def _place(request: RunRequest, identifier: str, systemd: bool) -> str | None:
    """``cgroupsPath``: a scope of the user's systemd, or nothing: then the runtime takes what it can have."""
    parent = request.seldom.cgroup_parent if request.seldom else ""
    if parent and not (systemd and parent.endswith(".slice")):
        raise Unsupported(f"unsupported: --cgroup-parent {parent} (an ordinary user names a slice, of the own systemd)")
    return f"{parent}:utsuwa:{identifier}" if systemd else None


def refuse_limits(request: RunRequest) -> None:
    """Raise Unsupported for a limit: containers have no cgroup."""
    seldom = request.seldom
    asked = {
        "memory": request.memory,
        "memory-swap": request.memory_swap,
        "cpus": request.nano_cpus,
        "cpu-shares": request.cpu_shares,
        "cpuset-cpus": request.cpuset_cpus,
        "pids-limit": request.pids_limit and request.pids_limit > 0,
        "memory-reservation": seldom and seldom.memory_reservation,
        "memory-swappiness": seldom and seldom.memory_swappiness is not None,
        **{name.replace("_", "-"): seldom and getattr(seldom, name) for name in _SELDOM_LIMITS},
    }
    for name, value in asked.items():
        if value:
            raise Unsupported(
                f"unsupported: --{name} (this user has no systemd, and no cgroup was lent: containers have no cgroup)"
            )

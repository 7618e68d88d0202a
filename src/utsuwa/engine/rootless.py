"""What an ordinary user's containers can't have, and what they have in its place; the rest is refused by name."""

from __future__ import annotations

import os

from utsuwa.errors import Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.spec.request import RunRequest
    from utsuwa.spec.runtime import Linux, Mount, Spec

_PING = "net.ipv4.ping_group_range"
_FLAGS = ("nosuid", "noexec", "nodev", "ro")
_TTY = 5
_QUEUES = "/dev/mqueue"


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
    if driver == delegation.NONE:
        refuse_limits(request)
        resources, kinds = None, {"cgroup"}
    elif resources is not None:
        resources = resources.replace(devices=None)
    shown = [_shown(mount, spec.linux) for mount in spec.mounts or () if mount.type not in kinds]
    mounts = tuple(mount for mount in shown if mount.source != _QUEUES or os.path.isdir(_QUEUES))
    namespaces = tuple(each for each in spec.linux.namespaces or () if each.type not in kinds)
    # The range of groups that may ping ends with one that is not mapped here, and is refused then.
    sysctl = {name: value for name, value in (spec.linux.sysctl or {}).items() if name != _PING} or None
    place = _place(request, (spec.linux.cgroupsPath or "").rpartition("/")[2], driver == delegation.SYSTEMD)
    linux = spec.linux.replace(cgroupsPath=place, resources=resources, namespaces=namespaces, sysctl=sysctl)
    return spec.replace(mounts=mounts, linux=linux)


def _check_user(asked: str) -> None:
    """Raise Unsupported for a number that no id of the host's stands for; names are looked up inside, later."""
    for number, kind in zip(asked.split(":"), ("uid", "gid"), strict=False):
        if number.isascii() and number.isdigit() and not _is_mapped(int(number), kind):
            raise Unsupported(f"unsupported: {kind} {number} (this user has no such id: see /etc/sub{kind})")


def _shown(mount: Mount, linux: Linux) -> Mount:
    """What shows a namespace of the host's can only be bound from there: to mount it is for who owns the namespace.
    The group of terminals is only there where it was lent.
    """
    if mount.type == "devpts" and not _is_mapped(_TTY):
        return mount.replace(options=tuple(word for word in mount.options or () if word != f"gid={_TTY}"))
    of_host = {"proc": "pid", "mqueue": "ipc"}.get(mount.type or "")
    if of_host is None or linux.namespace(of_host) is not None:
        return mount
    options = ("rbind", "rprivate", *(word for word in mount.options or () if word in _FLAGS))
    return mount.replace(type="bind", source="/proc" if of_host == "pid" else _QUEUES, options=options)


def _is_mapped(number: int, kind: str = "gid") -> bool:
    """Some id of the host's stands for this one."""
    with open(f"/proc/self/{kind}_map", "rb", buffering=0) as file:
        lines = [tuple(map(int, line.split())) for line in file.read().splitlines()]
    return any(first <= number < first + count for first, _, count in lines)


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
        "cpu-quota": seldom and seldom.cpu_quota,
        "cpu-period": seldom and seldom.cpu_period,
        "cpuset-mems": seldom and seldom.cpuset_mems,
        "blkio-weight": seldom and seldom.blkio_weight,
    }
    for name, value in asked.items():
        if value:
            raise Unsupported(
                f"unsupported: --{name} (this user has no systemd, and no cgroup was lent: containers have no cgroup)"
            )

"""What ``linux.resources`` means in numbers, the same for both versions of cgroups, and its errors.

The formulas are those of the runtime specification and of cgroup v2's documentation; v1 takes the values as they are.
"""

from __future__ import annotations

from utsuwa import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from utsuwa.cgroup.directory import Directory
    from utsuwa.spec.runtime import Memory, Resources
    from utsuwa.spec.seldom import Rdma

THROTTLES = (
    ("throttleReadBpsDevice", "rbps", "blkio.throttle.read_bps_device"),
    ("throttleWriteBpsDevice", "wbps", "blkio.throttle.write_bps_device"),
    ("throttleReadIOPSDevice", "riops", "blkio.throttle.read_iops_device"),
    ("throttleWriteIOPSDevice", "wiops", "blkio.throttle.write_iops_device"),
)
"""``linux.resources.blockIO`` property, key in v2's io.max, v1 file."""

_MIN_SHARES, _MAX_SHARES = 2, 262144
_MIN_WEIGHT, _MAX_WEIGHT = 1, 10000


def cpu_weight(shares: int) -> int:
    """cpu.weight (1..10000) for v1 cpu.shares (2..262144); 0, unset, stays 0.

    The curve goes through the ends of both scales and maps the default 1024 to the default 100. (A straight line, the
    formula of old, gave 39 there, and made containers with default shares lose against everything else.)
    """
    if shares == 0:
        return 0
    if shares <= _MIN_SHARES:
        return _MIN_WEIGHT
    if shares >= _MAX_SHARES:
        return _MAX_WEIGHT
    import math

    logarithm = math.log2(shares)
    exponent = (logarithm * logarithm + 125 * logarithm) / 612 - 7 / 34
    # 1e-9: 1024 shares are 100 exactly, which floating point may miss by its last bit.
    return math.ceil(10**exponent - 1e-9)


def io_weight(weight: int) -> int:
    """io.weight (1..10000) for a blkio weight (10..1000); 0, unset, stays 0."""
    return 0 if weight == 0 else 1 + (weight - 10) * 9999 // 990


def limit_text(value: int) -> str:
    """A v2 limit: negative is ``max``."""
    return "max" if value < 0 else str(value)


def pids_text(limit: int) -> str:
    """pids.max: 0 counts as 1, as runc and systemd have it, so that no value but a negative one lifts the limit."""
    return limit_text(limit or 1)


def swap_max(memory: Memory) -> str | None:
    """memory.swap.max for the specification's memory *plus* swap limit; None: leave it alone.

    InvalidArgument when the two contradict each other.
    """
    limit, both = memory.limit or 0, memory.swap or 0
    if both == 0:
        return "max" if limit == -1 else None
    if both < 0:
        return "max"
    if limit == 0:
        raise errors.InvalidArgument("linux.resources.memory.swap: unable to set swap limit without memory limit")
    if limit < 0:
        raise errors.InvalidArgument("linux.resources.memory.swap: a limit on swap needs a limit on memory, not -1")
    if both < limit:
        raise errors.InvalidArgument(
            f"linux.resources.memory.swap: memory+swap limit {both} should be >= memory limit {limit}"
        )
    return str(both - limit)


def page_size(size: str) -> str:
    """``size`` when it reads like ``2MB`` or ``1GB``: it becomes part of a file name (runc issue 4103)."""
    if size[-2:] not in ("KB", "MB", "GB") or not size[:-2].isdecimal() or not size[:-2].isascii() or size[0] == "0":
        raise errors.InvalidArgument(
            f'linux.resources.hugepageLimits: invalid hugepage size "{size}": write it like "2MB"'
        )
    return size


def check_usage(cgroup: Directory, memory: Memory, usage_key: str, both_key: str | None) -> None:
    """Refuse limits below what is in use, for ``memory.checkBeforeUpdate``: the kernel would kill to get there.

    The wider one first, as runc does, whose words callers know.
    ``usage_key`` is the file with the memory in use; ``both_key`` that of memory plus swap (v1; v2 counts apart).
    """
    if not memory.checkBeforeUpdate:
        return
    usage = int(cgroup.read(usage_key))
    if memory.swap is not None and memory.swap > 0:
        total = (
            int(cgroup.peek(both_key) or usage) if both_key else usage + int(cgroup.peek("memory.swap.current") or 0)
        )
        if memory.swap < total:
            raise errors.FailedPrecondition(f"rejecting memory+swap limit {memory.swap}: usage is {total}")
    if memory.limit is not None and 0 < memory.limit < usage:
        raise errors.FailedPrecondition(f"rejecting memory limit {memory.limit}: usage is {usage}")


def settle(cgroup: Directory, writes: Iterable[tuple[str, str]]) -> None:
    """Write files whose values the kernel checks against each other (a quota against its period).

    Which order is legal depends on the values before; what is refused as invalid is tried again after the others.
    """
    waiting = list(writes)
    while waiting:
        refused = [(key, value, refusal) for key, value in waiting if (refusal := cgroup.attempt(key, value))]
        for key, value, refusal in refused:
            if len(refused) == len(waiting) or refusal.errno != 22:  # EINVAL
                raise cgroup.refused(key, value, refusal) from refusal
        waiting = [(key, value) for key, value, _ in refused]


def write_rdma(cgroup: Directory, limits: dict[str, Rdma]) -> None:
    """rdma.max, the same on both versions: what is not given of a device stays what it is."""
    for device, limit in limits.items():
        counts = (("hca_handle", limit.hcaHandles), ("hca_object", limit.hcaObjects))
        cgroup.write("rdma.max", " ".join([device, *(f"{key}={value}" for key, value in counts if value is not None)]))


def no_controller(property_name: str, controller: str, remedy: str) -> errors.Error:
    """The error for a limit whose controller is not there."""
    return errors.FailedPrecondition(
        f"linux.resources.{property_name}: the {controller} controller is not available: {remedy}"
    )


def no_permission(property_name: str) -> errors.Error:
    """The error for a limit of someone who may not make cgroups where they are looked for; callers know its words."""
    return errors.PermissionDenied(
        f"cannot set linux.resources.{property_name}: container could not join or create cgroup "
        "(rootless needs no limits + no cgrouppath when no permission is granted for cgroups)"
    )


def needs(resources: Resources, *, unified: bool) -> dict[str, str]:
    """The first property that sets something, by the v1 name of the controller that it needs; devices not counted.

    A zero is "not set", except where it says something (_ZERO_COUNTS). ``unified``: leave out what v2 has no file for.
    """
    found: dict[str, str] = {}
    for controller, section, names, only_v1 in _NEEDS:
        record = getattr(resources, section)
        if record is None:
            continue
        for name in names if unified else names + only_v1:
            value = getattr(record, name)
            if value or (value is not None and (section, name) in _ZERO_COUNTS):
                found.setdefault(controller, f"{section}.{name}")
    if resources.hugepageLimits:
        found["hugetlb"] = "hugepageLimits"
    if resources.rdma:
        found["rdma"] = "rdma"
    return found


_ZERO_COUNTS = (
    ("pids", "limit"),
    ("memory", "swappiness"),
    ("memory", "useHierarchy"),
    ("cpu", "idle"),
    ("cpu", "burst"),
)
_NEEDS: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("memory", "memory", ("limit", "reservation", "swap"), ("swappiness", "disableOOMKiller", "useHierarchy")),
    ("cpu", "cpu", ("shares", "quota", "period", "burst", "idle"), ("realtimeRuntime", "realtimePeriod")),
    ("cpuset", "cpu", ("cpus", "mems"), ()),
    ("pids", "pids", ("limit",), ()),
    ("blkio", "blockIO", ("weight", "weightDevice", *(name for name, _, _ in THROTTLES)), ("leafWeight",)),
    ("net_cls", "network", (), ("classID",)),
    ("net_prio", "network", (), ("priorities",)),
)

"""``linux.resources`` written to cgroup v1 (kernel Documentation/admin-guide/cgroup-v1)."""

from __future__ import annotations

import errno

from utsuwa import errors
from utsuwa.cgroup.directory import Directory
from utsuwa.cgroup.resources import (
    THROTTLES,
    check_usage,
    needs,
    no_controller,
    no_permission,
    page_size,
    pids_text,
    settle,
    write_rdma,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.cgroup.journal import Journal
    from utsuwa.spec.runtime import CPU, Memory, Pids, Resources
    from utsuwa.spec.seldom import BlockIO, HugepageLimit, NetworkResources

_MEMORY = "memory.limit_in_bytes"
_MEMORY_AND_SWAP = "memory.memsw.limit_in_bytes"


def prepare(directories: dict[str, str], resources: Resources) -> None:
    """What a process may need to be allowed in: a real-time task can't join without a real-time budget."""
    cpu = resources.cpu
    path = directories.get("cpu")
    if cpu is not None and path and (cpu.realtimeRuntime or cpu.realtimePeriod):
        with Directory(path) as cgroup:
            _write_realtime(cgroup, cpu)


def apply(
    directories: dict[str, str],
    resources: Resources,
    journal: Journal | None = None,
    denied: frozenset[str] = frozenset(),
) -> None:
    """Write what is set, but devices, to the container's ``directories`` (by single controller).

    ``denied``: controllers that are mounted, but whose hierarchy we may not write to.
    """
    if resources.unified:
        raise errors.InvalidArgument("linux.resources.unified: invalid configuration: cannot use unified on cgroup v1")
    wanted = needs(resources, unified=False)
    for controller, name in wanted.items():
        if controller in denied:
            raise no_permission(name)
        if controller not in directories:
            raise no_controller(name, controller, "mount it as cgroup v1, or leave the limit out")
    for controller, name, write in _WRITERS:
        if controller in wanted:
            with Directory(directories[controller], journal) as cgroup:
                write(cgroup, getattr(resources, name))


def _write_cpuset(cgroup: Directory, cpu: CPU) -> None:
    if cpu.cpus:
        cgroup.write("cpuset.cpus", cpu.cpus)
    if cpu.mems:
        cgroup.write("cpuset.mems", cpu.mems)


def _write_cpu(cgroup: Directory, cpu: CPU) -> None:
    if cpu.shares:
        cgroup.write("cpu.shares", cpu.shares)
        # The kernel clamps without a word.
        effective = int(cgroup.read("cpu.shares"))
        if effective != cpu.shares:
            bound = "maximum" if effective < cpu.shares else "minimum"
            raise errors.InvalidArgument(
                f"linux.resources.cpu.shares: {cpu.shares}: the {bound} allowed cpu-shares is {effective}"
            )
    bandwidth = (
        ("cpu.cfs_period_us", str(cpu.period) if cpu.period else ""),
        ("cpu.cfs_quota_us", str(cpu.quota) if cpu.quota else ""),
        ("cpu.cfs_burst_us", str(cpu.burst) if cpu.burst is not None else ""),
    )
    settle(cgroup, ((key, value) for key, value in bandwidth if value))
    _write_realtime(cgroup, cpu)
    if cpu.idle is not None:
        cgroup.write("cpu.idle", cpu.idle)


def _write_realtime(cgroup: Directory, cpu: CPU) -> None:
    budget = (("cpu.rt_period_us", cpu.realtimePeriod), ("cpu.rt_runtime_us", cpu.realtimeRuntime))
    settle(cgroup, ((key, str(value)) for key, value in budget if value))


def _write_memory(cgroup: Directory, memory: Memory) -> None:
    check_usage(cgroup, memory, "memory.usage_in_bytes", "memory.memsw.usage_in_bytes")
    _write_limits(cgroup, memory)
    if memory.reservation:
        cgroup.write("memory.soft_limit_in_bytes", memory.reservation)
    if memory.useHierarchy is not None:
        # Linux 5.11 knows nothing else any more, and refuses a no.
        cgroup.write("memory.use_hierarchy", int(memory.useHierarchy))
    if memory.disableOOMKiller:
        cgroup.write("memory.oom_control", 1)
    if memory.swappiness is not None:
        if memory.swappiness > 100:
            raise errors.InvalidArgument(
                f"linux.resources.memory.swappiness: {memory.swappiness}: expected an integer from 0 to 100"
            )
        cgroup.write("memory.swappiness", memory.swappiness)


def _write_limits(cgroup: Directory, memory: Memory) -> None:
    """The limit of memory may never exceed that of memory plus swap, not even between two writes."""
    limit, swap = memory.limit or 0, memory.swap or 0
    if limit == -1 and swap == 0 and cgroup.has(_MEMORY_AND_SWAP):
        swap = -1
    # Raised from what is set now, the wider one goes first; lowered, the narrower one.
    if limit and swap and (swap == -1 or int(cgroup.read(_MEMORY)) < swap):
        cgroup.write(_MEMORY_AND_SWAP, swap)
        _write_limit(cgroup, limit)
        return
    if limit:
        _write_limit(cgroup, limit)
    if swap:
        cgroup.write(_MEMORY_AND_SWAP, swap)


def _write_limit(cgroup: Directory, limit: int) -> None:
    refusal = cgroup.attempt(_MEMORY, str(limit))
    if refusal is None:
        return
    if refusal.errno != errno.EBUSY:
        raise cgroup.refused(_MEMORY, limit, refusal) from refusal
    usage, peak = cgroup.read("memory.usage_in_bytes"), cgroup.read("memory.max_usage_in_bytes")
    raise errors.FailedPrecondition(
        f"unable to set memory limit to {limit} (current usage: {usage}, peak usage: {peak})"
    ) from refusal


def _write_pids(cgroup: Directory, pids: Pids) -> None:
    limit = pids.limit
    assert limit is not None
    cgroup.write("pids.max", pids_text(limit))


def _write_blkio(cgroup: Directory, io: BlockIO) -> None:
    weight_key = "blkio.weight" if cgroup.has("blkio.weight") else "blkio.bfq.weight"
    if io.weight:
        cgroup.write(weight_key, io.weight)
    if io.leafWeight:
        cgroup.write("blkio.leaf_weight", io.leafWeight)
    for device in io.weightDevice or ():
        if device.weight:
            cgroup.write(f"{weight_key}_device", f"{device.major}:{device.minor} {device.weight}")
        if device.leafWeight:
            cgroup.write("blkio.leaf_weight_device", f"{device.major}:{device.minor} {device.leafWeight}")
    for name, _, key in THROTTLES:
        for throttle in getattr(io, name) or ():
            cgroup.write(key, f"{throttle.major}:{throttle.minor} {throttle.rate}")


def _write_hugetlb(cgroup: Directory, limits: tuple[HugepageLimit, ...]) -> None:
    for limit in limits:
        size = page_size(limit.pageSize)
        cgroup.write(f"hugetlb.{size}.limit_in_bytes", limit.limit)
        refusal = cgroup.attempt(f"hugetlb.{size}.rsvd.limit_in_bytes", str(limit.limit))
        if refusal is not None and refusal.errno != errno.ENOENT:  # reservations are counted since Linux 5.7
            raise cgroup.refused(f"hugetlb.{size}.rsvd.limit_in_bytes", limit.limit, refusal) from refusal


def _write_net_cls(cgroup: Directory, network: NetworkResources) -> None:
    assert network.classID is not None
    cgroup.write("net_cls.classid", network.classID)


def _write_net_prio(cgroup: Directory, network: NetworkResources) -> None:
    for interface in network.priorities or ():
        cgroup.write("net_prio.ifpriomap", f"{interface.name} {interface.priority}")


_WRITERS = (
    ("cpuset", "cpu", _write_cpuset),
    ("cpu", "cpu", _write_cpu),
    ("memory", "memory", _write_memory),
    ("pids", "pids", _write_pids),
    ("blkio", "blockIO", _write_blkio),
    ("hugetlb", "hugepageLimits", _write_hugetlb),
    ("rdma", "rdma", write_rdma),
    ("net_cls", "network", _write_net_cls),
    ("net_prio", "network", _write_net_prio),
)

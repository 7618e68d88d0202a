"""``linux.resources`` written to cgroup v2 (kernel Documentation/admin-guide/cgroup-v2.rst)."""

from __future__ import annotations

import errno

from utsuwa.cgroup.directory import Directory
from utsuwa.cgroup.resources import (
    THROTTLES,
    check_usage,
    cpu_weight,
    io_weight,
    limit_text,
    needs,
    no_controller,
    no_permission,
    page_size,
    pids_text,
    settle,
    swap_max,
    write_rdma,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.cgroup.journal import Journal
    from utsuwa.spec.runtime import CPU, Memory, Pids, Resources
    from utsuwa.spec.seldom import BlockIO, HugepageLimit

_NAMES = {"blkio": "io"}
_DEFAULT_PERIOD = 100_000


def apply(path: str, resources: Resources, journal: Journal | None = None) -> None:
    """Write what is set to the cgroup at ``path``; ``unified`` last, so that it has the last word."""
    wanted = needs(resources, unified=True)
    with Directory(path, journal) as cgroup:
        if wanted or resources.unified:
            _check_controllers(cgroup, resources, wanted)
        for controller, name, write in _WRITERS:
            if controller in wanted:
                write(cgroup, getattr(resources, name))
        for key, value in (resources.unified or {}).items():
            _write_unified(cgroup, key, value)


def refuse_without_cgroup(resources: Resources) -> None:
    """A container that has no cgroup, for lack of permission, can't have limits either."""
    named = next(iter(needs(resources, unified=True).values()), None)
    if resources.unified:
        named = named or f"unified.{next(iter(resources.unified))}"
    if named is not None:
        raise no_permission(named)


def _check_controllers(cgroup: Directory, resources: Resources, wanted: dict[str, str]) -> None:
    available = cgroup.read("cgroup.controllers").split()
    remedy = f"enable it in cgroup.subtree_control of every cgroup above {cgroup.path}"
    for controller, name in wanted.items():
        controller = _NAMES.get(controller, controller)
        if controller not in available:
            raise no_controller(name, controller, remedy)
    for key in resources.unified or ():
        controller = key.partition(".")[0]
        if controller != "cgroup" and controller not in available and not cgroup.has(key):
            raise no_controller(f"unified.{key}", controller, remedy)


def _write_unified(cgroup: Directory, key: str, value: str) -> None:
    """Files such as io.max take one line per write."""
    if key == "cpu.weight":
        _write_weight(cgroup, value)
        return
    for line in value.split("\n"):
        if line or value == "":
            cgroup.write(key, line)


def _write_weight(cgroup: Directory, weight: str) -> None:
    """Who gets a weight is idle no more; the kernel wants to hear that first, and systemd tells it only later."""
    refusal = cgroup.attempt("cpu.weight", weight)
    if refusal is None:
        return
    if refusal.errno != errno.EINVAL or (cgroup.peek("cpu.idle") or "").strip() != "1":
        raise cgroup.refused("cpu.weight", weight, refusal) from refusal
    cgroup.write("cpu.idle", 0)
    cgroup.write("cpu.weight", weight)


def _write_cpuset(cgroup: Directory, cpu: CPU) -> None:
    if cpu.cpus:
        cgroup.write("cpuset.cpus", cpu.cpus)
    if cpu.mems:
        cgroup.write("cpuset.mems", cpu.mems)


def _write_cpu(cgroup: Directory, cpu: CPU) -> None:
    if cpu.idle is not None:
        cgroup.write("cpu.idle", cpu.idle)
    # An idle cgroup has no weight, and the kernel refuses one.
    if cpu.shares and cpu.idle != 1:
        _write_weight(cgroup, str(cpu_weight(cpu.shares)))
    bandwidth = []
    if cpu.quota or cpu.period:
        bandwidth.append(("cpu.max", _cpu_max(cgroup, cpu)))
    if cpu.burst is not None:
        bandwidth.append(("cpu.max.burst", str(cpu.burst)))
    settle(cgroup, bandwidth)


def _cpu_max(cgroup: Directory, cpu: CPU) -> str:
    """cpu.max is quota and period in one; the half that is not set stays what it is."""
    quota, period = cgroup.read("cpu.max").split()
    if cpu.quota:
        quota = limit_text(cpu.quota)
    return f"{quota} {cpu.period or period}"


def _write_memory(cgroup: Directory, memory: Memory) -> None:
    swap = swap_max(memory)
    check_usage(cgroup, memory, "memory.current", None)
    if swap is not None:
        refusal = cgroup.attempt("memory.swap.max", swap)
        # A kernel without swap accounting has no file, and nothing to limit: fine unless swap is asked for.
        if refusal is not None and not (refusal.errno == errno.ENOENT and swap in ("0", "max")):
            raise cgroup.refused("memory.swap.max", swap, refusal) from refusal
    if memory.limit:
        cgroup.write("memory.max", limit_text(memory.limit))
    if memory.reservation:
        cgroup.write("memory.low", limit_text(memory.reservation))


def _write_pids(cgroup: Directory, pids: Pids) -> None:
    assert pids.limit is not None
    cgroup.write("pids.max", pids_text(pids.limit))


def _write_io(cgroup: Directory, io: BlockIO) -> None:
    if io.weight or io.weightDevice:
        _write_io_weights(cgroup, io)
    for name, key, _ in THROTTLES:
        for throttle in getattr(io, name) or ():
            # 0 bytes a second would be a stop; v1's meaning of 0 is "no limit".
            cgroup.write("io.max", f"{throttle.major}:{throttle.minor} {key}={throttle.rate or 'max'}")


def _write_io_weights(cgroup: Directory, io: BlockIO) -> None:
    """The BFQ scheduler keeps v1's scale; the io controller's own weight has another."""
    bfq = cgroup.has("io.bfq.weight")
    key = "io.bfq.weight" if bfq else "io.weight"
    if io.weight:
        cgroup.write(key, io.weight if bfq else f"default {io_weight(io.weight)}")
    for device in io.weightDevice or ():
        if device.weight:
            weight = device.weight if bfq else io_weight(device.weight)
            cgroup.write(key, f"{device.major}:{device.minor} {weight}")


def _write_hugetlb(cgroup: Directory, limits: tuple[HugepageLimit, ...]) -> None:
    for limit in limits:
        size = page_size(limit.pageSize)
        cgroup.write(f"hugetlb.{size}.max", limit.limit)
        refusal = cgroup.attempt(f"hugetlb.{size}.rsvd.max", str(limit.limit))
        if refusal is not None and refusal.errno != errno.ENOENT:  # reservations are counted since Linux 5.7
            raise cgroup.refused(f"hugetlb.{size}.rsvd.max", limit.limit, refusal) from refusal


_WRITERS = (
    ("cpuset", "cpu", _write_cpuset),
    ("cpu", "cpu", _write_cpu),
    ("memory", "memory", _write_memory),
    ("pids", "pids", _write_pids),
    ("blkio", "blockIO", _write_io),
    ("hugetlb", "hugepageLimits", _write_hugetlb),
    ("rdma", "rdma", write_rdma),
)

"""The counters of cgroup v1."""

from __future__ import annotations

from utsuwa.cgroup.directory import Directory
from utsuwa.cgroup.stats import entry, flat, known, number, numbers, page_sizes, pids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NANOSECONDS_PER_TICK = 10_000_000  # USER_HZ is 100 on every architecture that we run on
_MEMORY_KINDS = (
    ("usage", "memory"),
    ("swap", "memory.memsw"),
    ("kernel", "memory.kmem"),
    ("kernelTCP", "memory.kmem.tcp"),
)
_CPUSET_FLAGS = (
    "cpu_exclusive",
    "mem_hardwall",
    "mem_exclusive",
    "memory_migrate",
    "memory_spread_page",
    "memory_spread_slab",
    "memory_pressure",
    "sched_load_balance",
    "sched_relax_domain_level",
)
_BLKIO = (
    ("ioServiceBytesRecursive", "io_service_bytes_recursive"),
    ("ioServicedRecursive", "io_serviced_recursive"),
    ("ioQueueRecursive", "io_queued_recursive"),
    ("ioServiceTimeRecursive", "io_service_time_recursive"),
    ("ioWaitTimeRecursive", "io_wait_time_recursive"),
    ("ioMergedRecursive", "io_merged_recursive"),
    ("ioTimeRecursive", "time_recursive"),
    ("sectorsRecursive", "sectors_recursive"),
)


def collect(directories: dict[str, str]) -> dict[str, Any]:
    """The ``data`` of an event of type ``stats`` from the container's ``directories``, by single controller."""
    found: dict[str, Any] = {}
    for controller, section, read in _READERS:
        path = directories.get(controller)
        if path is not None:
            with Directory(path) as cgroup:
                found.setdefault(section, {}).update(read(cgroup))
    return found


def _cpuacct(cgroup: Directory) -> dict[str, Any]:
    per_cpu = cgroup.peek("cpuacct.usage_percpu")
    ticks = flat(cgroup.peek("cpuacct.stat"))
    rows = [line.split() for line in (cgroup.peek("cpuacct.usage_all") or "").splitlines()[1:]]
    usage = {
        "total": number(cgroup.peek("cpuacct.usage")),
        "percpu": [int(value) for value in per_cpu.split()] if per_cpu else None,
        "percpu_kernel": [int(row[2]) for row in rows] or None,
        "percpu_user": [int(row[1]) for row in rows] or None,
        "kernel": ticks.get("system", 0) * _NANOSECONDS_PER_TICK,
        "user": ticks.get("user", 0) * _NANOSECONDS_PER_TICK,
    }
    return {"usage": known(usage)}


def _cpu(cgroup: Directory) -> dict[str, Any]:
    counters = flat(cgroup.peek("cpu.stat"))
    throttling = {
        "periods": counters.get("nr_periods"),
        "throttledPeriods": counters.get("nr_throttled"),
        "throttledTime": counters.get("throttled_time"),
    }
    return {"throttling": known(throttling)}


def _cpuset(cgroup: Directory) -> dict[str, Any]:
    found: dict[str, Any] = {
        "cpus": numbers(cgroup.peek("cpuset.cpus")),
        "mems": numbers(cgroup.peek("cpuset.mems")),
    }
    found.update(known({name: number(cgroup.peek(f"cpuset.{name}")) for name in _CPUSET_FLAGS}))
    return found


def _memory(cgroup: Directory) -> dict[str, Any]:
    raw = flat(cgroup.peek("memory.stat"))
    found: dict[str, Any] = {"cache": raw.get("cache", 0), "raw": raw}
    for name, prefix in _MEMORY_KINDS:
        found[name] = known(
            {
                "limit": number(cgroup.peek(f"{prefix}.limit_in_bytes")),
                "usage": number(cgroup.peek(f"{prefix}.usage_in_bytes")),
                "max": number(cgroup.peek(f"{prefix}.max_usage_in_bytes")),
                "failcnt": number(cgroup.peek(f"{prefix}.failcnt")),
            }
        )
    return {name: value for name, value in found.items() if value != {}}


def _blkio(cgroup: Directory) -> dict[str, Any]:
    """The BFQ scheduler counts what it schedules; where it does not run, the throttling layer counts all."""
    family = "bfq" if cgroup.peek("blkio.bfq.io_serviced_recursive") not in (None, "", "Total 0") else "throttle"
    found: dict[str, Any] = {}
    for name, key in _BLKIO:
        lines = [line.split() for line in (cgroup.peek(f"blkio.{family}.{key}") or "").splitlines()]
        found[name] = [entry(row[0], row[1], int(row[2])) for row in lines if len(row) == 3]
        found[name] += [entry(row[0], "", int(row[1])) for row in lines if len(row) == 2 and ":" in row[0]]
    return {name: entries for name, entries in found.items() if entries}


def _hugetlb(cgroup: Directory) -> dict[str, Any]:
    found = {}
    for size in page_sizes(cgroup, ".usage_in_bytes"):
        rsvd = ".rsvd" if cgroup.has(f"hugetlb.{size}.rsvd.usage_in_bytes") else ""
        names = (("usage", "usage_in_bytes"), ("max", "max_usage_in_bytes"), ("failcnt", "failcnt"))
        found[size] = known({name: number(cgroup.peek(f"hugetlb.{size}{rsvd}.{key}")) for name, key in names})
    return found


_READERS = (
    ("cpuacct", "cpu", _cpuacct),
    ("cpu", "cpu", _cpu),
    ("cpuset", "cpuset", _cpuset),
    ("memory", "memory", _memory),
    ("pids", "pids", pids),
    ("blkio", "blkio", _blkio),
    ("hugetlb", "hugetlb", _hugetlb),
)

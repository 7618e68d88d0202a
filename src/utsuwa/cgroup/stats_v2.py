"""The counters of cgroup v2, under the names that v1 made known."""

from __future__ import annotations

from utsuwa.cgroup.directory import Directory
from utsuwa.cgroup.stats import NO_LIMIT, entry, flat, known, number, numbers, page_sizes, pids, pressure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_IO = (
    ("rbytes", "ioServiceBytesRecursive", "Read"),
    ("wbytes", "ioServiceBytesRecursive", "Write"),
    ("rios", "ioServicedRecursive", "Read"),
    ("wios", "ioServicedRecursive", "Write"),
)
_EVENTS = ("low", "high", "max", "oom", "oom_kill")


def collect(path: str) -> dict[str, Any]:
    """The ``data`` of an event of type ``stats`` from the cgroup at ``path``."""
    with Directory(path) as cgroup:
        controllers = cgroup.read("cgroup.controllers").split()
        found: dict[str, Any] = {"cpu": _cpu(cgroup)}  # time is counted without the controller, too
        for controller, section, read in _READERS:
            if controller in controllers:
                found[section] = read(cgroup)
    return found


def _cpu(cgroup: Directory) -> dict[str, Any]:
    counters = {
        # microseconds
        name: value * 1000 if name.endswith("_usec") else value
        for name, value in flat(cgroup.peek("cpu.stat")).items()
    }
    usage = {"total": "usage_usec", "kernel": "system_usec", "user": "user_usec"}
    throttling = {"periods": "nr_periods", "throttledPeriods": "nr_throttled", "throttledTime": "throttled_usec"}
    return known(
        {
            "usage": known({name: counters.get(key) for name, key in usage.items()}),
            "throttling": known({name: counters.get(key) for name, key in throttling.items()}) or None,
            "psi": pressure(cgroup, "cpu.pressure"),
        }
    )


def _cpuset(cgroup: Directory) -> dict[str, Any]:
    return {
        "cpus": numbers(cgroup.peek("cpuset.cpus.effective")),
        "mems": numbers(cgroup.peek("cpuset.mems.effective")),
    }


def _memory(cgroup: Directory) -> dict[str, Any]:
    raw = flat(cgroup.peek("memory.stat"))
    events = flat(cgroup.peek("memory.events"))
    usage = {
        "limit": number(cgroup.peek("memory.max")),
        "usage": number(cgroup.peek("memory.current")),
        "max": number(cgroup.peek("memory.peak")),
        "failcnt": events.get("max"),
    }
    found = {
        "cache": raw.get("file", 0),
        "usage": known(usage),
        "swap": _memory_and_swap(cgroup, usage),
        "kernel": known({"usage": raw.get("kernel")}) or None,
        "raw": raw,
        "psi": pressure(cgroup, "memory.pressure"),
        "event_count": {name: count for name, count in events.items() if name in _EVENTS},
    }
    return known(found)


def _memory_and_swap(cgroup: Directory, memory: dict[str, int | None]) -> dict[str, int] | None:
    """v1 counts memory and swap together under this name, and consumers subtract."""
    limit, usage = number(cgroup.peek("memory.swap.max")), number(cgroup.peek("memory.swap.current"))
    if limit is None or usage is None:
        return None
    both = NO_LIMIT if NO_LIMIT in (limit, memory["limit"]) else limit + (memory["limit"] or 0)
    return {
        "limit": both,
        "usage": usage + (memory["usage"] or 0),
        "failcnt": flat(cgroup.peek("memory.swap.events")).get("fail", 0),
    }


def _io(cgroup: Directory) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for line in (cgroup.peek("io.stat") or "").splitlines():
        device, *pairs = line.split()
        values = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        for key, section, operation in _IO:
            if key in values and ":" in device:
                found.setdefault(section, []).append(entry(device, operation, int(values[key])))
    psi = pressure(cgroup, "io.pressure")
    return found if psi is None else {**found, "psi": psi}


def _hugetlb(cgroup: Directory) -> dict[str, Any]:
    found = {}
    for size in page_sizes(cgroup, ".current"):
        rsvd = number(cgroup.peek(f"hugetlb.{size}.rsvd.current"))
        usage = rsvd if rsvd is not None else number(cgroup.peek(f"hugetlb.{size}.current"))
        failures = flat(cgroup.peek(f"hugetlb.{size}.events")).get("max")
        found[size] = known({"usage": usage, "failcnt": failures})
    return found


_READERS = (
    ("cpuset", "cpuset", _cpuset),
    ("memory", "memory", _memory),
    ("pids", "pids", pids),
    ("io", "blkio", _io),
    ("hugetlb", "hugetlb", _hugetlb),
)

"""What containers use of the machine: one look, as numbers that a second look can be compared with."""

from __future__ import annotations

import os

from utsuwa.engine.status import derive
from utsuwa.errors import Error
from utsuwa.runtime.ps import processes
from utsuwa.runtime.record import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.paths import Paths

_NANOSECONDS_PER_TICK = 10_000_000  # USER_HZ is 100 on every architecture that we run on
_LOOPBACK = "lo"


class Usage:
    """Counters since the container's start: ``cpu`` and ``system`` (all CPUs of the host together) in nanoseconds,
    ``received``, ``sent``, ``read``, ``written`` in bytes. Bytes now: ``memory`` without what the kernel could drop,
    ``limit``. ``cpus`` of the host, ``pids`` of the container. All zero for a container that does not run.
    """

    __slots__ = (
        *("cpu", "cpus", "limit", "memory", "pids", "read", "received", "running", "sent", "system"),
        "written",
    )

    def __init__(self) -> None:
        self.running = False
        self.cpu = self.system = self.cpus = self.memory = self.limit = self.pids = 0
        self.received = self.sent = self.read = self.written = 0

    def cpu_share(self, before: Usage) -> float:
        """Percent of one CPU used since an earlier look; more than 100 with several."""
        passed = self.system - before.system
        return (self.cpu - before.cpu) / passed * self.cpus * 100 if passed > 0 and self.cpu > before.cpu else 0.0

    @property
    def memory_share(self) -> float:
        """Percent of the limit."""
        return self.memory / self.limit * 100 if self.limit else 0.0


def look(paths: Paths, record: ContainerRecord) -> Usage:
    """What a container uses."""
    found = Usage()
    status = derive(paths, record)
    if not status.alive:
        return found
    try:
        manager = Store(paths.runtime).open(record.id).manager()
        counters = manager.stats() if manager is not None else {}
        pids = [] if counters else processes(Store(paths.runtime), record.id)
    except (Error, OSError):  # it ends just now
        return found
    found.running = True
    found.cpu = counters.get("cpu", {}).get("usage", {}).get("total", 0)
    found.system, found.cpus = _system()
    found.pids = counters.get("pids", {}).get("current", 0)
    _memory(found, counters.get("memory", {}))
    _blocks(found, counters.get("blkio", {}))
    for pid in pids:
        _process(found, pid)
    if record.networkMode != "host":
        _network(found, status.pid)
    return found


def _memory(found: Usage, counters: dict[str, Any]) -> None:
    usage, raw = counters.get("usage", {}), counters.get("raw", {})
    dropped = raw.get("total_inactive_file", raw.get("inactive_file", 0))
    used = usage.get("usage", 0)
    found.memory = used - dropped if dropped < used else used
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found.limit = min(usage.get("limit") or whole, whole)


def _process(found: Usage, pid: int) -> None:
    """Add what a process uses and has used, its children that have ended included, where no cgroup counts (proc(5))."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if len(fields) < 22:  # it has just ended
        return
    found.cpu += sum(map(int, fields[11:15])) * _NANOSECONDS_PER_TICK
    found.pids += int(fields[17])
    found.memory += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")


def _blocks(found: Usage, counters: dict[str, Any]) -> None:
    for entry in counters.get("ioServiceBytesRecursive", ()):
        if entry["op"].lower() == "read":
            found.read += entry["value"]
        elif entry["op"].lower() == "write":
            found.written += entry["value"]


def _network(found: Usage, pid: int) -> None:
    """The devices of the container's network namespace, but for loopback (proc_pid_net(5))."""
    for line in _read(f"/proc/{pid}/net/dev").splitlines()[2:]:
        name, _, counters = line.partition(":")
        fields = counters.split()
        if name.strip() != _LOOPBACK and len(fields) >= 9:
            found.received += int(fields[0])
            found.sent += int(fields[8])


def _system() -> tuple[int, int]:
    """Nanoseconds that all CPUs together have spent, idle or not, and how many CPUs there are."""
    lines = _read("/proc/stat").splitlines()
    # What guests used is in user and nice already: user nice system idle iowait irq softirq steal.
    ticks = sum(map(int, lines[0].split()[1:9])) if lines else 0
    return ticks * _NANOSECONDS_PER_TICK, sum(line.startswith("cpu") for line in lines) - 1


def _read(path: str) -> str:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read().decode("ascii", "replace")
    except OSError:
        return ""

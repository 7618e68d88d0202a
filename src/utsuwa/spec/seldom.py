"""The objects of config.json that few containers use; runtime.py shows them under its own name when first asked."""

from __future__ import annotations

from utsuwa.spec.record import Record, i32, i64, u16, u32, u64


class Scheduler(Record):
    """Scheduling policy and parameters of sched_setattr(2)."""

    policy: str
    nice: i32 | None = None
    priority: i32 | None = None
    flags: tuple[str, ...] | None = None
    runtime: u64 | None = None
    deadline: u64 | None = None
    period: u64 | None = None


class IOPriority(Record):
    """I/O class and priority of ioprio_set(2)."""

    class_: str
    priority: i32 | None = None


class CPUAffinity(Record):
    """CPU lists of exec'd processes, before and after they join the cgroup."""

    initial: str | None = None
    final: str | None = None


class WeightDevice(Record):
    """Share of one block device."""

    major: i64
    minor: i64
    weight: u16 | None = None
    leafWeight: u16 | None = None


class ThrottleDevice(Record):
    """Bytes or operations a second of one block device."""

    major: i64
    minor: i64
    rate: u64 = 0


class BlockIO(Record):
    """Block I/O shares and throttles."""

    weight: u16 | None = None
    leafWeight: u16 | None = None
    weightDevice: tuple[WeightDevice, ...] | None = None
    throttleReadBpsDevice: tuple[ThrottleDevice, ...] | None = None
    throttleWriteBpsDevice: tuple[ThrottleDevice, ...] | None = None
    throttleReadIOPSDevice: tuple[ThrottleDevice, ...] | None = None
    throttleWriteIOPSDevice: tuple[ThrottleDevice, ...] | None = None


class HugepageLimit(Record):
    """Bytes of huge pages of one size ("2MB")."""

    pageSize: str
    limit: u64


class InterfacePriority(Record):
    """Traffic priority on one network interface (net_prio, cgroup v1)."""

    name: str
    priority: u32


class NetworkResources(Record):
    """Traffic class and priorities (net_cls, net_prio, cgroup v1)."""

    classID: u32 | None = None
    priorities: tuple[InterfacePriority, ...] | None = None


class Rdma(Record):
    """Limits of one RDMA device."""

    hcaHandles: u32 | None = None
    hcaObjects: u32 | None = None


class NetDevice(Record):
    """A host network device to move in, and its name inside."""

    name: str | None = None


class IntelRdt(Record):
    """Cache and memory bandwidth allocation (resctrl)."""

    closID: str | None = None
    schemata: tuple[str, ...] | None = None
    l3CacheSchema: str | None = None
    memBwSchema: str | None = None
    enableMonitoring: bool | None = None


class MemoryPolicy(Record):
    """NUMA policy of set_mempolicy(2)."""

    mode: str | None = None
    nodes: str | None = None
    flags: tuple[str, ...] | None = None


class Personality(Record):
    """Execution domain of personality(2)."""

    domain: str
    flags: tuple[str, ...] | None = None


class TimeOffset(Record):
    """Offset of one clock in a new time namespace."""

    secs: i64 | None = None
    nanosecs: u32 | None = None

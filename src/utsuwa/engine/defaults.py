"""What every container of the engine has unless told otherwise: Docker's defaults (moby,
daemon/pkg/oci/defaults.go).
"""

from __future__ import annotations

from utsuwa.spec.runtime import DeviceRule, Mount

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
)
"""The fourteen that Docker's containers keep."""

MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

SYSCTLS = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
"""In a network namespace of its own a container may bind every port, and ping without CAP_NET_RAW."""

_GUARDED = ("nosuid", "noexec", "nodev")

MOUNTS = (
    Mount(destination="/proc", type="proc", source="proc", options=_GUARDED),
    Mount(
        destination="/dev", type="tmpfs", source="tmpfs", options=("nosuid", "strictatime", "mode=755", "size=65536k")
    ),
    Mount(
        destination="/dev/pts",
        type="devpts",
        source="devpts",
        options=("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
    ),
    Mount(destination="/sys", type="sysfs", source="sysfs", options=(*_GUARDED, "ro")),
    Mount(destination="/sys/fs/cgroup", type="cgroup", source="cgroup", options=(*_GUARDED, "ro")),
    Mount(destination="/dev/mqueue", type="mqueue", source="mqueue", options=_GUARDED),
    Mount(destination="/dev/shm", type="tmpfs", source="shm", options=(*_GUARDED, "mode=1777", "size=65536k")),
)


def _allow(kind: str, major: int | None, minor: int | None, access: str = "rwm") -> DeviceRule:
    return DeviceRule(allow=True, type=kind, major=major, minor=minor, access=access)


DEVICE_RULES = (
    DeviceRule(allow=False, access="rwm"),
    _allow("c", None, None, "m"),
    _allow("b", None, None, "m"),
    *(_allow("c", 1, minor) for minor in (3, 5, 7, 8, 9)),  # null, zero, full, random, urandom
    *(_allow("c", 5, minor) for minor in (0, 1, 2)),  # tty, console, ptmx
    _allow("c", 136, None),  # pts
)
EVERY_DEVICE = (DeviceRule(allow=True, access="rwm"),)

"""What a runtime can do, as ``features`` prints it (runtime-spec 1.3, features.md and features-linux.md).

False says that a feature is known and absent, None that the runtime does not know it: callers tell these apart.
"""

from __future__ import annotations

from utsuwa.spec.record import Record


class CgroupFeatures(Record):
    """Cgroup versions and managers."""

    v1: bool | None = None
    v2: bool | None = None
    systemd: bool | None = None
    systemdUser: bool | None = None
    rdma: bool | None = None


class SeccompFeatures(Record):
    """Names of ``linux.seccomp`` that are understood; ``supportedFlags`` are those the kernel has too."""

    enabled: bool | None = None
    actions: tuple[str, ...] | None = None
    operators: tuple[str, ...] | None = None
    archs: tuple[str, ...] | None = None
    knownFlags: tuple[str, ...] | None = None
    supportedFlags: tuple[str, ...] | None = None


class Switch(Record):
    """A feature that is there or not."""

    enabled: bool | None = None


class MemoryPolicyFeatures(Record):
    """Modes and flags of ``linux.memoryPolicy``."""

    modes: tuple[str, ...] | None = None
    flags: tuple[str, ...] | None = None


class IntelRdtFeatures(Record):
    """Parts of ``linux.intelRdt``."""

    enabled: bool | None = None
    schemata: bool | None = None
    monitoring: bool | None = None


class MountExtensions(Record):
    """Mounts beyond mount(2)."""

    idmap: Switch | None = None


class LinuxFeatures(Record):
    """Features that only Linux has."""

    namespaces: tuple[str, ...] | None = None
    capabilities: tuple[str, ...] | None = None
    cgroup: CgroupFeatures | None = None
    seccomp: SeccompFeatures | None = None
    apparmor: Switch | None = None
    selinux: Switch | None = None
    memoryPolicy: MemoryPolicyFeatures | None = None
    intelRdt: IntelRdtFeatures | None = None
    mountExtensions: MountExtensions | None = None
    netDevices: Switch | None = None


class Features(Record):
    """Everything a caller may ask about a runtime before it uses it."""

    ociVersionMin: str
    ociVersionMax: str
    hooks: tuple[str, ...] | None = None
    mountOptions: tuple[str, ...] | None = None
    linux: LinuxFeatures | None = None
    annotations: dict[str, str] | None = None
    potentiallyUnsafeConfigAnnotations: tuple[str, ...] | None = None

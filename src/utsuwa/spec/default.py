"""The configuration that ``urun spec`` prints: a shell behind a terminal in its own namespaces, as runc's."""

from __future__ import annotations

import posix

from utsuwa.spec.runtime import (
    Capabilities,
    DeviceRule,
    IDMapping,
    Linux,
    Mount,
    Namespace,
    Process,
    Resources,
    Rlimit,
    Root,
    Spec,
    User,
)

OCI_VERSION = "1.3.0"
"""The runtime specification that utsuwa follows."""

MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
)
"""Paths that tell a container too much about its host."""

READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
"""Paths through which a container could change its host."""


def default_spec(
    rootless: bool = False, *, cgroup2: bool = False, uid: int | None = None, gid: int | None = None
) -> Spec:
    """The configuration to begin with.

    ``rootless`` maps root to ``uid`` and ``gid`` (the caller's own by default), keeps the host's network and leaves
    cgroup limits out; ``cgroup2`` adds a cgroup namespace, which only makes sense on the unified hierarchy.
    """
    namespaces = ["pid", "network", "ipc", "uts", "mount"]
    if cgroup2:
        namespaces.append("cgroup")
    linux = Linux(maskedPaths=MASKED_PATHS, readonlyPaths=READONLY_PATHS)
    if rootless:
        namespaces = [kind for kind in namespaces if kind != "network"] + ["user"]
        linux = linux.replace(
            uidMappings=(IDMapping(containerID=0, hostID=posix.geteuid() if uid is None else uid, size=1),),
            gidMappings=(IDMapping(containerID=0, hostID=posix.getegid() if gid is None else gid, size=1),),
        )
    else:
        linux = linux.replace(resources=Resources(devices=(DeviceRule(allow=False, access="rwm"),)))
    return Spec(
        ociVersion=OCI_VERSION,
        process=_process(),
        root=Root(path="rootfs", readonly=True),
        hostname="urun",
        mounts=_mounts(rootless),
        linux=linux.replace(namespaces=tuple(Namespace(type=kind) for kind in namespaces)),
    )


def _process() -> Process:
    capabilities = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")
    return Process(
        terminal=True,
        user=User(uid=0, gid=0),
        args=("sh",),
        env=("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"),
        cwd="/",
        # neither inheritable nor ambient: a set-user-ID program must not find more than it needs (CVE-2022-29162)
        capabilities=Capabilities(bounding=capabilities, effective=capabilities, permitted=capabilities),
        rlimits=(Rlimit(type="RLIMIT_NOFILE", hard=1024, soft=1024),),
        noNewPrivileges=True,
    )


def _mounts(rootless: bool) -> tuple[Mount, ...]:
    devpts: tuple[str, ...] = ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620")
    guarded = ("nosuid", "noexec", "nodev")
    if rootless:  # one mapped id: no group tty, and no network namespace that would allow a sysfs of its own
        sys = Mount(destination="/sys", type="none", source="/sys", options=("rbind", *guarded, "ro"))
    else:
        devpts = (*devpts, "gid=5")
        sys = Mount(destination="/sys", type="sysfs", source="sysfs", options=(*guarded, "ro"))
    return (
        Mount(destination="/proc", type="proc", source="proc"),
        Mount(
            destination="/dev",
            type="tmpfs",
            source="tmpfs",
            options=("nosuid", "strictatime", "mode=755", "size=65536k"),
        ),
        Mount(destination="/dev/pts", type="devpts", source="devpts", options=devpts),
        Mount(destination="/dev/shm", type="tmpfs", source="shm", options=(*guarded, "mode=1777", "size=65536k")),
        Mount(destination="/dev/mqueue", type="mqueue", source="mqueue", options=guarded),
        sys,
        Mount(destination="/sys/fs/cgroup", type="cgroup", source="cgroup", options=(*guarded, "relatime", "ro")),
    )

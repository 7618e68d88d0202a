"""config.json of the OCI runtime specification 1.3, for Linux: one record per object, fields named as in the document.

Optional properties are None when absent (lists too): absent and empty differ in places, ``seccomp.flags`` for one.
Fields stand in the order in which Go's runtime-spec types print them. What the values must satisfy beyond their types
is in validate.py. Objects that few containers use are declared in seldom.py and appear here when they are first named.
"""

from __future__ import annotations

from utsuwa.spec.record import OneOf, Record, i32, i64, u32, u64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.spec.seldom import (
        BlockIO,
        CPUAffinity,
        HugepageLimit,
        IntelRdt,
        IOPriority,
        MemoryPolicy,
        NetDevice,
        NetworkResources,
        Personality,
        Rdma,
        Scheduler,
        TimeOffset,
    )

    NamespaceType = str
    Propagation = str
    Action = str
    Operator = str
    Architecture = str
    FilterFlag = str
    DeviceType = str
    RuleType = str
else:
    NamespaceType = OneOf("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time")
    # The r* forms are not in the specification's list; Docker and podman send them, and runc and crun take them.
    Propagation = OneOf("private", "shared", "slave", "unbindable", "rprivate", "rshared", "rslave", "runbindable", "")
    Action = OneOf(
        "SCMP_ACT_KILL",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_TRAP",
        "SCMP_ACT_ERRNO",
        "SCMP_ACT_TRACE",
        "SCMP_ACT_ALLOW",
        "SCMP_ACT_LOG",
        "SCMP_ACT_NOTIFY",
    )
    Operator = OneOf(
        "SCMP_CMP_NE",
        "SCMP_CMP_LT",
        "SCMP_CMP_LE",
        "SCMP_CMP_EQ",
        "SCMP_CMP_GE",
        "SCMP_CMP_GT",
        "SCMP_CMP_MASKED_EQ",
    )
    Architecture = OneOf(
        "SCMP_ARCH_X86",
        "SCMP_ARCH_X86_64",
        "SCMP_ARCH_X32",
        "SCMP_ARCH_ARM",
        "SCMP_ARCH_AARCH64",
        "SCMP_ARCH_LOONGARCH64",
        "SCMP_ARCH_M68K",
        "SCMP_ARCH_MIPS",
        "SCMP_ARCH_MIPS64",
        "SCMP_ARCH_MIPS64N32",
        "SCMP_ARCH_MIPSEL",
        "SCMP_ARCH_MIPSEL64",
        "SCMP_ARCH_MIPSEL64N32",
        "SCMP_ARCH_PPC",
        "SCMP_ARCH_PPC64",
        "SCMP_ARCH_PPC64LE",
        "SCMP_ARCH_S390",
        "SCMP_ARCH_S390X",
        "SCMP_ARCH_SH",
        "SCMP_ARCH_SHEB",
        "SCMP_ARCH_PARISC",
        "SCMP_ARCH_PARISC64",
        "SCMP_ARCH_RISCV64",
    )
    FilterFlag = OneOf(
        "SECCOMP_FILTER_FLAG_TSYNC",
        "SECCOMP_FILTER_FLAG_LOG",
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    )
    DeviceType = OneOf("c", "b", "u", "p")
    RuleType = OneOf("a", "c", "b", "")


# -- process ----------------------------------------------------------------------------------------------------------


class ConsoleSize(Record):
    """Rows and columns of the terminal."""

    height: u64
    width: u64


class User(Record):
    """Ids the process runs with, as seen inside the container; ``umask`` None leaves the default (0022)."""

    uid: u32 = 0
    gid: u32 = 0
    umask: u32 | None = None
    additionalGids: tuple[u32, ...] | None = None
    username: str | None = None


class Capabilities(Record):
    """The five capability sets, as names (``CAP_KILL``); see capabilities(7)."""

    bounding: tuple[str, ...] | None = None
    effective: tuple[str, ...] | None = None
    inheritable: tuple[str, ...] | None = None
    permitted: tuple[str, ...] | None = None
    ambient: tuple[str, ...] | None = None


class Rlimit(Record):
    """One resource limit of getrlimit(2); 2**64-1 is unlimited."""

    type: str
    hard: u64
    soft: u64


class Process(Record):
    """The container's process; ``args`` may be absent until ``start``."""

    terminal: bool | None = None
    consoleSize: ConsoleSize | None = None
    user: User = User()
    args: tuple[str, ...] | None = None
    commandLine: str | None = None
    env: tuple[str, ...] | None = None
    cwd: str
    capabilities: Capabilities | None = None
    rlimits: tuple[Rlimit, ...] | None = None
    noNewPrivileges: bool | None = None
    apparmorProfile: str | None = None
    oomScoreAdj: i32 | None = None
    scheduler: Scheduler | None = None
    selinuxLabel: str | None = None
    ioPriority: IOPriority | None = None
    execCPUAffinity: CPUAffinity | None = None


# -- root, mounts, hooks ----------------------------------------------------------------------------------------------


class Root(Record):
    """The root file system: a directory, absolute or relative to the bundle."""

    path: str
    readonly: bool | None = None


class IDMapping(Record):
    """A range of ids: ``size`` ids from ``containerID`` on are ``hostID`` and following on the host."""

    containerID: u32
    hostID: u32
    size: u32


class Mount(Record):
    """One mount; ``bind`` or ``rbind`` among the options makes it a bind mount, whatever ``type`` says."""

    destination: str
    type: str | None = None
    source: str | None = None
    options: tuple[str, ...] | None = None
    uidMappings: tuple[IDMapping, ...] | None = None
    gidMappings: tuple[IDMapping, ...] | None = None


class Hook(Record):
    """A program run at a point of the lifecycle with the state on its standard input; ``timeout`` in seconds."""

    path: str
    args: tuple[str, ...] | None = None
    env: tuple[str, ...] | None = None
    timeout: i64 | None = None


class Hooks(Record):
    """Hooks by the moment they run at, each list in order."""

    prestart: tuple[Hook, ...] | None = None
    createRuntime: tuple[Hook, ...] | None = None
    createContainer: tuple[Hook, ...] | None = None
    startContainer: tuple[Hook, ...] | None = None
    poststart: tuple[Hook, ...] | None = None
    poststop: tuple[Hook, ...] | None = None


# -- linux.resources --------------------------------------------------------------------------------------------------


class DeviceRule(Record):
    """Allow or deny access to devices: absent numbers (or -1) and an absent type (or "a") match all.

    ``access`` is made of r, w and m.
    """

    allow: bool = False
    type: RuleType | None = None
    major: i64 | None = None
    minor: i64 | None = None
    access: str | None = None


class Memory(Record):
    """Memory limits in bytes, -1 is unlimited; ``swap`` is memory and swap together, as in cgroup v1."""

    limit: i64 | None = None
    reservation: i64 | None = None
    swap: i64 | None = None
    kernel: i64 | None = None
    kernelTCP: i64 | None = None
    swappiness: u64 | None = None
    disableOOMKiller: bool | None = None
    useHierarchy: bool | None = None
    checkBeforeUpdate: bool | None = None


class CPU(Record):
    """CPU time (microseconds) and placement (``cpus`` and ``mems`` as lists like "0-3,7")."""

    shares: u64 | None = None
    quota: i64 | None = None
    burst: u64 | None = None
    period: u64 | None = None
    realtimeRuntime: i64 | None = None
    realtimePeriod: u64 | None = None
    cpus: str | None = None
    mems: str | None = None
    idle: i64 | None = None


class Pids(Record):
    """The most processes and threads a container may have; 0 counts as 1, negative is unlimited (as in runc)."""

    limit: i64 | None = None


class Resources(Record):
    """Everything the container's cgroup restricts; ``unified`` are files of cgroup v2, written as given."""

    devices: tuple[DeviceRule, ...] | None = None
    memory: Memory | None = None
    cpu: CPU | None = None
    pids: Pids | None = None
    blockIO: BlockIO | None = None
    hugepageLimits: tuple[HugepageLimit, ...] | None = None
    network: NetworkResources | None = None
    rdma: dict[str, Rdma] | None = None
    unified: dict[str, str] | None = None


# -- linux ------------------------------------------------------------------------------------------------------------


class Namespace(Record):
    """A namespace to make, or with ``path`` to join."""

    type: NamespaceType
    path: str | None = None


class Device(Record):
    """A device node; ``fileMode`` holds permission bits, ids are the container's."""

    type: DeviceType
    path: str
    major: i64 | None = None
    minor: i64 | None = None
    fileMode: u32 | None = None
    uid: u32 | None = None
    gid: u32 | None = None


class SyscallArg(Record):
    """A condition on one system call argument; with MASKED_EQ ``value`` is the mask and ``valueTwo`` the datum."""

    index: u32
    value: u64
    valueTwo: u64 = 0
    op: Operator


class SyscallRule(Record):
    """What happens to some system calls when all ``args`` hold."""

    names: tuple[str, ...]
    action: Action
    errnoRet: u32 | None = None
    args: tuple[SyscallArg, ...] | None = None


class Seccomp(Record):
    """The system call filter; ``flags`` None means the runtime's default, () none at all."""

    defaultAction: Action
    defaultErrnoRet: u32 | None = None
    architectures: tuple[Architecture, ...] | None = None
    flags: tuple[FilterFlag, ...] | None = None
    listenerPath: str | None = None
    listenerMetadata: str | None = None
    syscalls: tuple[SyscallRule, ...] | None = None


class Linux(Record):
    """What only Linux has."""

    uidMappings: tuple[IDMapping, ...] | None = None
    gidMappings: tuple[IDMapping, ...] | None = None
    sysctl: dict[str, str] | None = None
    resources: Resources | None = None
    cgroupsPath: str | None = None
    namespaces: tuple[Namespace, ...] | None = None
    devices: tuple[Device, ...] | None = None
    netDevices: dict[str, NetDevice] | None = None
    seccomp: Seccomp | None = None
    rootfsPropagation: Propagation | None = None
    maskedPaths: tuple[str, ...] | None = None
    readonlyPaths: tuple[str, ...] | None = None
    mountLabel: str | None = None
    intelRdt: IntelRdt | None = None
    memoryPolicy: MemoryPolicy | None = None
    personality: Personality | None = None
    timeOffsets: dict[str, TimeOffset] | None = None

    def namespace(self, type: str) -> Namespace | None:
        """The namespace of that type which is made or joined; None when the container stays in the runtime's own."""
        for namespace in self.namespaces or ():
            if namespace.type == type:
                return namespace
        return None


class Spec(Record):
    """A whole config.json."""

    ociVersion: str
    process: Process | None = None
    root: Root | None = None
    hostname: str | None = None
    domainname: str | None = None
    mounts: tuple[Mount, ...] | None = None
    hooks: Hooks | None = None
    annotations: dict[str, str] | None = None
    linux: Linux | None = None


def __getattr__(name: str) -> object:
    """Fetch a record of seldom.py (PEP 562): together they would add a third to the start of every command."""
    if name[0] != "_":
        from utsuwa.spec import seldom

        if hasattr(seldom, name):
            return getattr(seldom, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

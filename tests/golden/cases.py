"""Configurations worth reading the plan of: the default one of `urun spec`, and what each change of it leads to."""

from __future__ import annotations

from collections.abc import Callable

from tests.golden.hosts import HYBRID, V1, V2, V2_JOIN, options, v1_join
from utsuwa.linux.capabilities import NAMES
from utsuwa.linux.host import Host
from utsuwa.plan import ahead, ops
from utsuwa.plan.create import create
from utsuwa.plan.exec import execute
from utsuwa.plan.options import ExecOptions
from utsuwa.plan.plan import Plan
from utsuwa.plan.restore import Criu, restore
from utsuwa.spec import mount as engine
from utsuwa.spec.default import default_spec
from utsuwa.spec.runtime import (
    Capabilities,
    ConsoleSize,
    Device,
    Hook,
    Hooks,
    IDMapping,
    Linux,
    Mount,
    Namespace,
    Process,
    Rlimit,
    Root,
    Spec,
    User,
)
from utsuwa.spec.seldom import (
    CPUAffinity,
    IOPriority,
    MemoryPolicy,
    NetDevice,
    Personality,
    Scheduler,
    TimeOffset,
)

CASES: dict[str, Callable[[], Plan]] = {}
"""Name -> a function that makes the plan."""


def case(make: Callable[[], Plan]) -> Callable[[], Plan]:
    CASES[make.__name__] = make
    return make


class Filter:
    """A compiled seccomp program: allow everything."""

    filter = (0x06).to_bytes(2, "little") + bytes(2) + (0x7FFF0000).to_bytes(4, "little")
    flags = 0


def spec(
    *,
    process: dict[str, object] | None = None,
    linux: dict[str, object] | None = None,
    cgroup2: bool = False,
    **top: object,
) -> Spec:
    """The default configuration without a terminal, changed; ``process`` and ``linux`` change parts of theirs."""
    base = default_spec(cgroup2=cgroup2)
    assert base.process and base.linux
    new_process = base.process.replace(**{"terminal": None, **(process or {})})
    return base.replace(process=new_process, linux=base.linux.replace(**(linux or {})), **top)


def with_namespaces(base: Spec, *without: str, **paths: str) -> tuple[Namespace, ...]:
    """The namespaces of ``base`` but some, and some with a path ("" for a new one)."""
    assert base.linux and base.linux.namespaces
    kept = [each for each in base.linux.namespaces if each.type not in without and each.type not in paths]
    return (*kept, *(Namespace(type=kind, path=path or None) for kind, path in paths.items()))


def with_mounts(*mounts: Mount) -> tuple[Mount, ...]:
    return (*(default_spec().mounts or ()), *mounts)


MAPPED = (IDMapping(containerID=0, hostID=100000, size=65536),)
NARROW = (IDMapping(containerID=0, hostID=1000, size=1),)


@case
def default_on_v1() -> Plan:
    return create(spec(), V1, options())


@case
def devices_guarded_on_v1() -> Plan:
    lines = ("devices.deny a", "devices.allow b *:* m", "devices.allow c 1:3 rwm")
    return create(spec(), V1, options(cgroup=v1_join().replace(device_lines=lines)))


@case
def before_there_is_a_request() -> Plan:
    return ahead.begin()


@case
def begun_ahead() -> Plan:
    return create(spec(), V1, options(ahead=ahead.KINDS, cgroups_later=True, network=True))


@case
def default_on_v2() -> Plan:
    return create(spec(cgroup2=True), V2, options(V2, device_filter=bytes(64)))


@case
def default_on_hybrid() -> Plan:
    return create(spec(), HYBRID, options(HYBRID))


@case
def run_without_waiting_for_start() -> Plan:
    return create(spec(), V2, options(V2, await_start=False))


@case
def terminal_with_size() -> Plan:
    process = {"terminal": True, "consoleSize": ConsoleSize(height=50, width=132), "user": User(uid=1000, gid=1000)}
    return create(spec(process=process), V1, options(console=True))


@case
def new_user_namespace() -> Plan:
    base = spec()
    linux = {"namespaces": with_namespaces(base, user=""), "uidMappings": MAPPED, "gidMappings": MAPPED}
    return create(spec(linux=linux), V1, options())


@case
def rootless_on_v2() -> Plan:
    rootless = default_spec(rootless=True, cgroup2=True, uid=1000, gid=1000)
    host = V2.replace(euid=1000, egid=1000, permitted=0)
    return create(rootless, host, options(V2, console=True))


@case
def inside_another_user_namespace() -> Plan:
    return create(spec(), V2.replace(in_user_namespace=True), options(V2))


@case
def user_namespace_without_group_5_gets_devpts_without_gid() -> Plan:
    base = spec()
    linux = {"namespaces": with_namespaces(base, user=""), "uidMappings": NARROW, "gidMappings": NARROW}
    return create(spec(linux=linux), V1, options(cgroup=None))


@case
def pod_member_joins_the_namespaces_of_the_pause_process() -> Plan:
    base = spec()
    paths = {kind: f"/proc/4242/ns/{name}" for kind, name in (("network", "net"), ("ipc", "ipc"), ("uts", "uts"))}
    return create(spec(linux={"namespaces": with_namespaces(base, **paths)}, hostname=None), V2, options(V2))


@case
def joins_a_user_and_a_mount_namespace() -> Plan:
    base = spec()
    paths = {"user": "/run/ns/user", "mount": "/run/ns/mnt"}
    return create(spec(linux={"namespaces": with_namespaces(base, **paths)}), V1, options())


@case
def host_mount_namespace_means_chroot() -> Plan:
    base = spec()
    linux = {"namespaces": with_namespaces(base, "mount"), "maskedPaths": (), "readonlyPaths": ()}
    return create(spec(linux=linux, root=Root(path="rootfs", readonly=False)), V1, options())


@case
def no_namespaces_at_all() -> Plan:
    linux = Linux(namespaces=(Namespace(type="mount"),))
    return create(spec(hostname=None).replace(linux=linux), V2, options(V2, cgroup=None, keyring=None))


@case
def cgroup_namespace_on_v1() -> Plan:
    base = spec()
    return create(spec(linux={"namespaces": with_namespaces(base, cgroup="")}), V1, options())


@case
def cgroup_namespace_on_hybrid() -> Plan:
    base = spec()
    return create(spec(linux={"namespaces": with_namespaces(base, cgroup="")}), HYBRID, options(HYBRID))


@case
def scope_of_systemd_on_v2() -> Plan:
    chosen = options(V2, device_filter=bytes(64))
    assert chosen.cgroup is not None
    return create(spec(cgroup2=True), V2, chosen.replace(cgroup=chosen.cgroup.replace(scope="libpod-x.scope")))


@case
def writable_cgroups_without_cgroup_of_its_own() -> Plan:
    mounts = tuple(mount for mount in default_spec().mounts or () if mount.type != "cgroup")
    mounts += (Mount(destination="/sys/fs/cgroup", type="cgroup", source="cgroup", options=("nosuid", "noexec")),)
    return create(spec(mounts=mounts), V1, options(cgroup=None))


@case
def volumes_and_their_options() -> Plan:
    mounts = with_mounts(
        Mount(destination="/data", type="bind", source="/srv/data", options=("rbind", "ro")),
        Mount(destination="/all-ro", source="/srv/tree", options=("rbind", "rro", "rnosuid", "rprivate")),
        Mount(destination="/etc/hosts", type="bind", source="hosts", options=("bind", "rw", "nodev", "exec")),
        Mount(destination="/shared", type="none", source="/srv/shared", options=("rbind", "rshared", "noatime")),
        Mount(destination="/twice", source="/srv/twice", options=("bind", "rprivate", "slave")),
        Mount(destination="relative/place", source="/srv/place", options=("bind", "nosymfollow", "strictatime")),
    )
    return create(spec(mounts=mounts), V2, options(V2))


@case
def file_systems_of_all_sorts() -> Plan:
    mounts = with_mounts(
        Mount(destination="/run", type="tmpfs", source="tmpfs", options=("ro", "nosuid", "size=1m")),
        Mount(destination="/etc", type="tmpfs", source="tmpfs", options=("tmpcopyup", "mode=0755")),
        Mount(destination="/disk", type="ext4", source="/dev/vdb", options=("ro", "noatime", "sync", "discard")),
        Mount(
            destination="/up", type="overlay", source="overlay", options=("lowerdir=/a:/b", "upperdir=/u", "workdir=/w")
        ),
        Mount(destination="/proc/meminfo", source="/var/lib/lxcfs/meminfo", options=("bind",)),
        Mount(destination="/dev/shm", options=("remount", "ro", "nosuid")),
        Mount(destination="/dev/shm", options=("remount", "size=1m", "sync")),
        Mount(destination="/data", options=("remount", "rro")),
    )
    return create(spec(mounts=mounts), V1, options())


@case
def dev_bound_from_the_host_is_left_alone() -> Plan:
    mounts = (
        Mount(destination="/proc", type="proc", source="proc"),
        Mount(destination="/dev/", type="bind", source="/dev", options=("rbind",)),
    )
    return create(spec(mounts=mounts), V1, options())


@case
def read_only_dev_is_sealed_after_the_devices() -> Plan:
    mounts = tuple(
        mount.replace(options=(*(mount.options or ()), "ro")) if mount.destination == "/dev" else mount
        for mount in default_spec().mounts or ()
    )
    return create(spec(mounts=mounts), V2, options(V2))


@case
def configured_devices_replace_default_ones() -> Plan:
    devices = (
        Device(type="c", path="/dev/null", major=1, minor=3, fileMode=0o600, uid=1, gid=2),
        Device(type="b", path="/dev/vdb", major=254, minor=16),
        Device(type="p", path="/run/pipe", fileMode=0o622),
        Device(type="c", path="/dev/ptmx", major=5, minor=2),
        Device(type="u", path="/dev/fuse", major=10, minor=229),
    )
    return create(spec(linux={"devices": devices}), V1, options())


@case
def overlay_root_made_by_the_plan() -> Plan:
    layers = ("lowerdir=/layers/3:/layers/2:/layers/1", "upperdir=/c/web/upper", "workdir=/c/web/work", "index=off")
    mounts = (
        engine.Mount(type="overlay", source="overlay", options=layers),
        engine.Mount(type="bind", source="/c/web/hosts", target="/etc/hosts", options=("ro",)),
    )
    return create(spec(), V2, options(V2, root_mounts=mounts, root="/c/web/root"))


@case
def shared_root_propagation_without_pivot() -> Plan:
    return create(spec(linux={"rootfsPropagation": "shared"}), V1, options(no_pivot=True))


@case
def private_root_propagation() -> Plan:
    return create(spec(linux={"rootfsPropagation": "rprivate"}), V1, options())


@case
def hooks_of_every_kind() -> Plan:
    def hooks(name: str) -> tuple[Hook, ...]:
        first = Hook(path=f"/usr/libexec/{name}", args=(name, "--now"), env=("A=1",), timeout=3)
        return (first, Hook(path=f"/usr/libexec/{name}"))

    kinds = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
    return create(spec(hooks=Hooks(**{kind: hooks(kind) for kind in kinds})), V1, options())


@case
def seccomp_without_no_new_privileges() -> Plan:
    return create(spec(process={"noNewPrivileges": False}), V2, options(V2, seccomp=Filter))


@case
def seccomp_with_no_new_privileges() -> Plan:
    return create(spec(), V2, options(V2, seccomp=Filter))


@case
def seccomp_that_asks_an_agent() -> Plan:
    class Asking(Filter):
        flags = ops.NEW_LISTENER

    return create(spec(process={"noNewPrivileges": False}), V2, options(V2, seccomp=Asking))


@case
def under_an_apparmor_profile() -> Plan:
    return create(spec(process={"apparmorProfile": "web"}), V2, options(V2, security_modules=("apparmor",)))


_SELINUX = {"selinuxLabel": "system_u:system_r:container_t:s0:c1,c2"}


@case
def with_selinux_labels() -> Plan:
    base = spec(process=_SELINUX, linux={"mountLabel": "system_u:object_r:container_file_t:s0:c1,c2"})
    return create(base, V2, options(V2, security_modules=("selinux",)))


@case
def exec_under_labels() -> Plan:
    base = spec(process=_SELINUX | {"apparmorProfile": "web"})
    assert base.process
    return _exec(base.process, base, V2, security_modules=("apparmor", "selinux"))


@case
def capabilities_beyond_the_host_and_the_kernel() -> Plan:
    everything = (*NAMES, "CAP_TIME_TRAVEL")
    sets = Capabilities(
        bounding=everything,
        permitted=everything,
        effective=everything,
        inheritable=("CAP_CHOWN",),
        ambient=("CAP_CHOWN", "CAP_KILL"),
    )
    return create(spec(process={"capabilities": sets}), HYBRID, options(HYBRID))


@case
def no_capabilities_object() -> Plan:
    return create(spec(process={"capabilities": None}), V2, options(V2))


@case
def limits_groups_and_umask() -> Plan:
    process = {
        "rlimits": (
            Rlimit(type="RLIMIT_CORE", soft=0, hard=0),
            Rlimit(type="RLIMIT_MEMLOCK", soft=65536, hard=2**64 - 1),
        ),
        "oomScoreAdj": 500,
        "user": User(uid=33, gid=33, additionalGids=(4, 27), umask=0o077),
        "cwd": "/var/www",
        "env": ("PATH=/bin", "HOME=", "A=1", "A=2"),
    }
    linux = {"sysctl": {"net.ipv4.ip_forward": "1", "net/ipv4/conf/eth0.1/forwarding": "0"}}
    return create(spec(process=process, linux=linux, domainname="example.org"), V1, options())


@case
def scheduling_and_execution_domain() -> Plan:
    process = {
        "scheduler": Scheduler(policy="SCHED_RR", priority=3, flags=("SCHED_FLAG_RESET_ON_FORK",)),
        "ioPriority": IOPriority(class_="IOPRIO_CLASS_BE", priority=4),
    }
    linux = {"personality": Personality(domain="LINUX32")}
    return create(spec(process=process, linux=linux), V1, options())


@case
def clocks_memory_and_a_device_of_the_host() -> Plan:
    linux = {
        "namespaces": (*with_namespaces(spec()), Namespace(type="time")),
        "timeOffsets": {"monotonic": TimeOffset(secs=7881, nanosecs=2718281), "boottime": TimeOffset(secs=-3)},
        "netDevices": {"eth1": NetDevice(), "eth2": NetDevice(name="lan%d")},
        "memoryPolicy": MemoryPolicy(mode="MPOL_BIND", nodes="0-1,3", flags=("MPOL_F_STATIC_NODES",)),
    }
    return create(spec(linux=linux), V2, options(V2))


@case
def other_owners_for_volumes() -> Plan:
    shifted = (IDMapping(containerID=0, hostID=1000, size=10), IDMapping(containerID=99, hostID=1099, size=1))
    one = (IDMapping(containerID=0, hostID=2000, size=1),)
    mounts = with_mounts(
        Mount(destination="/a", source="/a", options=("bind",), uidMappings=shifted, gidMappings=one),
        Mount(destination="/b", source="b", options=("rbind", "ridmap", "ro")),
        Mount(destination="/c", source="/c", options=("rbind", "idmap")),
    )
    linux = {"namespaces": with_namespaces(spec(), user=""), "uidMappings": MAPPED, "gidMappings": MAPPED}
    return create(spec(mounts=mounts, linux=linux), V1, options())


@case
def exec_with_processors_of_its_own() -> Plan:
    base = spec()
    assert base.process
    return _exec(base.process.replace(execCPUAffinity=CPUAffinity(initial="0", final="2-3")), base, V1)


@case
def oom_score_that_can_not_be_lowered() -> Plan:
    return create(spec(process={"oomScoreAdj": -998}), HYBRID, options(HYBRID))


@case
def engine_container_with_init_and_user_by_name() -> Plan:
    return create(spec(process={"args": ("sh", "-c", "echo it's")}), V2, options(V2, init=True, user="www-data:adm"))


def _exec(what: Process, container: Spec, host: Host, **changes: object) -> Plan:
    usual = {"cgroup": options(host).cgroup, "keyring": "_ses.web"}
    return execute(what, container, host, ExecOptions(**{**usual, **changes}))


@case
def exec_in_a_container() -> Plan:
    base = spec()
    assert base.process
    return _exec(base.process.replace(args=("id",), user=User(uid=1000, gid=1000)), base, V1)


@case
def exec_with_terminal_in_a_user_namespace() -> Plan:
    linux = {"namespaces": with_namespaces(spec(), user="", cgroup=""), "uidMappings": MAPPED, "gidMappings": MAPPED}
    base = spec(linux=linux)
    assert base.process
    return _exec(
        base.process, base, V2, console=True, seccomp=Filter, cgroup=V2_JOIN.replace(unified="/sys/fs/cgroup/web/job")
    )


@case
def exec_where_the_mount_namespace_is_the_hosts() -> Plan:
    base = spec(linux={"namespaces": with_namespaces(spec(), "mount")})
    assert base.process
    return _exec(base.process, base, V1, root="/bundles/web/rootfs", cgroup=None, keyring=None)


@case
def restore_by_criu() -> Plan:
    mounts = (
        *(spec().mounts or ()),
        Mount(destination="/data", type="bind", source="/srv/data", options=("rbind",)),
        Mount(destination="/data/more", type="bind", source="more", options=("bind", "ro")),
        Mount(destination="/dev/shared", type="bind", source="/srv/shared", options=("bind",)),
    )
    criu = Criu("/usr/sbin/criu", ("criu", "swrk", "5"), {"PATH": "/usr/sbin:/usr/bin"}, (5,))
    return restore(spec(mounts=mounts), V1, options(await_start=False), criu)


@case
def restore_by_criu_on_v2() -> Plan:
    criu = Criu("/usr/sbin/criu", ("criu", "swrk", "5"), {"PATH": "/usr/sbin:/usr/bin"}, (5,))
    return restore(spec(cgroup2=True), V2, options(V2, await_start=False, device_filter=bytes(16)), criu)

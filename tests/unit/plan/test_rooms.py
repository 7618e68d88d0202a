"""Details that a golden plan does not show: bits, fallbacks and the words of paths."""

from __future__ import annotations

import pytest

from tests.golden.cases import NARROW, spec, with_mounts, with_namespaces
from tests.golden.hosts import HYBRID, V1, V2, options
from utsuwa.errors import InvalidArgument
from utsuwa.linux.host import Host
from utsuwa.linux.mounts import MOUNT_ATTR_NOATIME, MOUNT_ATTR_RDONLY, MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE
from utsuwa.linux.namespaces import CLONE_NEWCGROUP, CLONE_NEWUSER
from utsuwa.plan import ops
from utsuwa.plan.create import create
from utsuwa.plan.exec import execute
from utsuwa.plan.mounts import destination, inside
from utsuwa.plan.namespaces import sysctl_path
from utsuwa.plan.options import CgroupJoin, ExecOptions
from utsuwa.plan.plan import Plan
from utsuwa.plan.rootfs import split_lower
from utsuwa.spec import mount as engine
from utsuwa.spec.runtime import Device, Mount, Root, Spec


def plan(changed: Spec, host: Host = V1, **kwargs: object) -> Plan:
    return create(changed, host, options(host, **kwargs))


def mount_at(target: str, made: Plan) -> ops.Op:
    (found,) = [op for op in made.ops if isinstance(op, (ops.Mount, ops.Bind)) and op.target == target]
    return found


@pytest.mark.parametrize(("key", "path"), [
    ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
    ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
    ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
    ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
    ("panic", "panic"),
])  # fmt: skip
def test_sysctl_keys_with_either_separator(key: str, path: str) -> None:
    assert sysctl_path(key) == path


@pytest.mark.parametrize(("value", "directories"), [
    ("/a:/b", ("/a", "/b")),
    (r"/a\:1:/b\\2", ("/a:1", r"/b\2")),
    ("", ()),
    ("/a:", ("/a",)),
])  # fmt: skip
def test_lower_directories_with_escaped_colons(value: str, directories: tuple[str, ...]) -> None:
    assert split_lower(value) == directories


@pytest.mark.parametrize(("path", "cleaned"), [
    ("/a/../b//c/.", "/b/c"), ("a", "/a"), ("//a", "/a"), ("/../..", "/"), ("", "/"),
])  # fmt: skip
def test_destinations_are_cleaned(path: str, cleaned: str) -> None:
    assert destination(path) == cleaned


@pytest.mark.parametrize(("target", "root", "found"), [
    ("/b/root/mnt", "/b/root", "/mnt"), ("/b/root", "/b/root", "/"), ("/b/root2/mnt", "/b/root", "/b/root2/mnt"),
    ("/mnt", "/b/root", "/mnt"), ("/mnt", "/", "/mnt"),
])  # fmt: skip
def test_the_path_of_the_root_may_stand_before_a_destination(target: str, root: str, found: str) -> None:
    assert inside(target, root) == found


def test_what_the_path_of_the_root_hides_is_refused_all_the_same() -> None:
    for target, message in (("/proc", "only procfs"), ("/proc/self/attr", "inside /proc"), ("", "mounting on /")):
        mount = Mount(destination=f"/bundles/web/rootfs{target}", type="tmpfs", source="tmpfs")
        with pytest.raises(InvalidArgument, match=message):
            plan(spec(mounts=(mount,)))


def test_sysfs_falls_back_to_a_bind_only_in_a_user_namespace() -> None:
    assert not mount_at("/sys", plan(spec())).flags & ops.FALLBACK_BIND
    for made in (
        plan(spec(linux={"namespaces": with_namespaces(spec(), user="/run/ns/user")})),
        plan(spec(), V2.replace(in_user_namespace=True)),
    ):
        sysfs = mount_at("/sys", made)
        assert sysfs.flags & ops.FALLBACK_BIND and sysfs.source == "/sys"
        assert sysfs.attributes & MOUNT_ATTR_RDONLY, "the fallback stays read-only"


@pytest.mark.parametrize("options", [("ro",), ()])
def test_a_root_that_is_given_read_only_stays_so(options: tuple[str, ...]) -> None:
    bound = (engine.Mount(type="bind", source="/view", options=options),)
    made = plan(spec(root=Root(path="rootfs")), root_mounts=bound)
    assert ops.RootBind("/view") in made.ops
    assert (ops.Remount("/", MOUNT_ATTR_RDONLY) in made.ops) == bool(options)


@pytest.mark.parametrize("fstype", ["tmpfs", "devtmpfs"])
def test_a_read_only_dev_is_writable_until_the_devices_are_made(fstype: str) -> None:
    made = plan(spec(mounts=(Mount(destination="/dev", type=fstype, source=fstype, options=("ro", "mode=755")),)))
    assert not mount_at("/dev", made).attributes & MOUNT_ATTR_RDONLY
    nodes = [place for place, op in enumerate(made.ops) if isinstance(op, ops.Mknod)]
    assert max(nodes) < made.ops.index(ops.Remount("/dev", MOUNT_ATTR_RDONLY))


def test_proc_and_sysfs_want_ordinary_directories() -> None:
    made = plan(spec())
    for target in ("/proc", "/sys"):
        assert mount_at(target, made).flags & ops.ORDINARY_DIRECTORY
    assert not mount_at("/dev", made).flags & ops.ORDINARY_DIRECTORY


def test_tmpfs_inherits_the_mode_of_its_place_unless_it_names_one() -> None:
    mounts = with_mounts(Mount(destination="/tmp", type="tmpfs", source="tmpfs"))
    made = plan(spec(mounts=mounts))
    assert mount_at("/tmp", made).flags == ops.INHERIT_MODE
    assert mount_at("/dev", made).flags == 0


def test_devpts_keeps_its_group_only_where_that_is_mapped() -> None:
    narrow = {"namespaces": with_namespaces(spec(), user=""), "uidMappings": NARROW, "gidMappings": NARROW}
    assert "gid=5" not in mount_at("/dev/pts", plan(spec(linux=narrow))).options
    assert "gid=5" in mount_at("/dev/pts", plan(spec())).options


def test_read_only_is_a_matter_of_the_super_block_for_disks_only() -> None:
    disk = Mount(destination="/disk", type="ext4", source="/dev/vdb", options=("ro",))
    assert mount_at("/disk", plan(spec(mounts=(disk,)))).options == ("ro",)
    assert "ro" not in mount_at("/sys", plan(spec())).options


def test_bind_sources_count_from_the_bundle() -> None:
    made = plan(spec(mounts=(Mount(destination="/a", source="rel/file", options=("bind",)),)))
    assert mount_at("/a", made).source == "/bundles/web/rel/file"


def test_several_propagation_words_are_applied_in_order() -> None:
    made = plan(spec(mounts=(Mount(destination="/a", source="/b", options=("bind", "rprivate", "slave", "shared")),)))
    assert mount_at("/a", made).propagation == MS_PRIVATE | MS_REC
    assert [op.flags for op in made.ops if isinstance(op, ops.Propagate)] == [MS_SLAVE, MS_SHARED]


@pytest.mark.parametrize(("asked", "before", "after"), [
    (None, MS_SLAVE | MS_REC, None),
    ("", MS_SLAVE | MS_REC, None),
    ("slave", MS_SLAVE | MS_REC, MS_SLAVE),
    ("private", MS_SLAVE | MS_REC, MS_PRIVATE),
    ("rshared", MS_SHARED | MS_REC, MS_SHARED | MS_REC),
])  # fmt: skip
def test_root_propagation_before_and_after_the_pivot(asked: str | None, before: int, after: int | None) -> None:
    made = plan(spec(linux={"rootfsPropagation": asked}))
    assert ops.RootPropagation(before) in made.ops
    assert [op.flags for op in made.ops if isinstance(op, ops.Propagate)] == ([after] if after else [])


def test_ro_holds_for_every_cgroup_mount() -> None:
    for host, kinds in ((V1, {}), (V1, {"cgroup": ""}), (HYBRID, {}), (HYBRID, {"cgroup": ""})):
        made = plan(spec(linux={"namespaces": with_namespaces(spec(), **kinds)}), host)
        beneath = [
            op.attributes if isinstance(op, ops.Mount) else op.set
            for op in made.ops
            if isinstance(op, (ops.Mount, ops.Bind)) and op.target.startswith("/sys/fs/cgroup/")
        ]
        assert len(beneath) == 8 + ("" in host.cgroup_mounts)
        assert all(bits & MOUNT_ATTR_RDONLY for bits in beneath)
        assert ops.Remount("/sys/fs/cgroup", MOUNT_ATTR_RDONLY) in made.ops


def test_the_hosts_cgroups_are_never_writable_by_fallback() -> None:
    mounts = (Mount(destination="/sys/fs/cgroup", type="cgroup", source="cgroup"),)
    user = with_namespaces(spec(), user="/run/ns/user")
    shared = mount_at("/sys/fs/cgroup", plan(spec(mounts=mounts, linux={"namespaces": user}), V2))
    assert shared.attributes & MOUNT_ATTR_RDONLY and shared.source == "/sys/fs/cgroup"
    own = with_namespaces(spec(), user="/run/ns/user", cgroup="")
    mine = mount_at("/sys/fs/cgroup", plan(spec(mounts=mounts, linux={"namespaces": own}), V2))
    assert not mine.attributes & MOUNT_ATTR_RDONLY and mine.source == "/sys/fs/cgroup/web"


def test_a_cgroup_mount_inside_a_container_counts_from_its_own_root() -> None:
    nested = V1.replace(
        cgroup_roots=dict.fromkeys(V1.cgroup_roots, "/docker/x"),
        cgroup_paths=dict.fromkeys(V1.cgroup_paths, "/docker/x/init"),
    )
    made = plan(spec(), nested, cgroup=None)
    assert mount_at("/sys/fs/cgroup/memory", made).source == "/sys/fs/cgroup/memory/init"


def test_devices_are_bound_where_mknod_is_refused() -> None:
    devices = (Device(type="c", path="/dev/fuse", major=10, minor=229), Device(type="p", path="/dev/pipe"))
    user = with_namespaces(spec(), user="/run/ns/user")
    made = plan(spec(linux={"devices": devices, "namespaces": user}))
    assert ops.Bind("/dev/fuse", "/dev/fuse") in made.ops and ops.Bind("/dev/null", "/dev/null") in made.ops
    assert [op.path for op in made.ops if isinstance(op, ops.Mknod)] == ["/dev/pipe"]


def test_the_last_of_two_equal_device_paths_counts() -> None:
    devices = (
        Device(type="c", path="/dev/tty", major=5, minor=0, fileMode=0o600),
        Device(type="c", path="/dev//tty", major=5, minor=0, fileMode=0o620),
    )
    nodes = [
        op for op in plan(spec(linux={"devices": devices})).ops if isinstance(op, ops.Mknod) and op.path == "/dev/tty"
    ]
    assert [node.mode & 0o777 for node in nodes] == [0o620]


def test_environment_keeps_the_last_of_equal_names() -> None:
    made = plan(spec(process={"env": ("A=1", "PATH=/x", "A=2=3")}))
    assert made.ops[-1].env == ("A=2=3", "PATH=/x")
    assert next(op for op in made.ops if isinstance(op, ops.FindExecutable)).search == "/x"


@pytest.mark.parametrize(("env", "asked"), [(("HOME=/h",), False), (("HOME=",), True), ((), True), (None, True)])
def test_home_is_looked_up_when_missing_or_empty(env: tuple[str, ...] | None, asked: bool) -> None:
    made = plan(spec(process={"env": env}))
    assert any(isinstance(op, ops.SetHome) for op in made.ops) == asked


def test_without_a_path_the_usual_directories_are_searched() -> None:
    search = next(op for op in plan(spec(process={"env": ()})).ops if isinstance(op, ops.FindExecutable)).search
    assert search == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    empty = plan(spec(process={"env": ("PATH=",)}))
    assert next(op for op in empty.ops if isinstance(op, ops.FindExecutable)).search == ""


def test_start_container_hooks_inherit_the_environment_of_the_process() -> None:
    from utsuwa.spec.runtime import Hook, Hooks

    hooks = Hooks(
        createContainer=(Hook(path="/a"),), startContainer=(Hook(path="/b", timeout=2), Hook(path="/c", env=()))
    )
    made = plan(spec(hooks=hooks, process={"env": ("A=1",)}))
    first, second, third = [op for op in made.ops if isinstance(op, ops.Hook)]
    assert (first.env, second.env, third.env) == ((), ("A=1", "HOME="), ()), "an empty HOME is filled in"
    assert (first.args, second.timeout) == (("/a",), 2000)
    assert '"status":"created","pid":' in first.before and first.before == second.before


def test_a_device_filter_needs_a_unified_cgroup() -> None:
    assert not any(isinstance(op, ops.AttachDeviceFilter) for op in plan(spec(), V1, device_filter=b"12345678").ops)
    assert any(isinstance(op, ops.AttachDeviceFilter) for op in plan(spec(), V2, device_filter=b"12345678").ops)


def test_only_new_network_namespaces_get_their_loopback_up() -> None:
    joined = spec(linux={"namespaces": with_namespaces(spec(), network="/run/netns/x")})
    assert ops.LoopbackUp() in plan(spec()).ops and ops.LoopbackUp() not in plan(joined).ops


def test_exec_enters_the_rest_when_the_child_is_born_in_its_cgroup() -> None:
    base = spec(linux={"namespaces": with_namespaces(spec(), cgroup="", user="")})
    assert base.process
    options = ExecOptions(cgroup=CgroupJoin(unified="/sys/fs/cgroup/x"))
    for host, late in ((V2, CLONE_NEWCGROUP | CLONE_NEWUSER), (V2.replace(permitted=0), CLONE_NEWCGROUP)):
        made = execute(base.process, base, host, options).ops
        first, second = [op for op in made if isinstance(op, ops.Enter)]
        assert (second, first.flags & late, first.keep) == (ops.Enter(ops.PIDFD, late), 0, 1)
        assert made.index(first) < made.index(ops.Clone(0, "/sys/fs/cgroup/x")) < made.index(second)


def test_exec_enters_every_namespace_of_the_container_at_once() -> None:
    base = spec(linux={"namespaces": with_namespaces(spec(), cgroup="", network="/run/netns/x")})
    assert base.process
    made = execute(base.process, base, V2, ExecOptions())
    (enter,) = [op for op in made.ops if isinstance(op, ops.Enter)]
    assert enter == ops.Enter(ops.PIDFD, 0x20000000 | 0x40000000 | 0x08000000 | 0x04000000 | 0x00020000 | 0x02000000)
    assert next(op for op in made.ops if isinstance(op, ops.Clone)) == ops.Clone(0, "")
    assert not any(isinstance(op, (ops.JoinCgroups, ops.SessionKeyring, ops.AwaitStart, ops.Ask)) for op in made.ops)


def test_exec_does_not_make_its_working_directory() -> None:
    base = spec()
    assert base.process
    made = execute(base.process.replace(cwd="/gone"), base, V1, ExecOptions())
    assert not any(isinstance(op, ops.Workdir) for op in made.ops)
    assert ops.Workdir("/gone") in plan(spec(process={"cwd": "/gone"})).ops


def test_recursive_attributes_of_a_fresh_mount_are_plain_ones() -> None:
    mount = Mount(destination="/m", type="tmpfs", source="tmpfs", options=("rnoatime", "mode=700"))
    assert mount_at("/m", plan(spec(mounts=(mount,)))).attributes == MOUNT_ATTR_NOATIME


def test_terminal_sizes_fit_their_field() -> None:
    from utsuwa.spec.runtime import ConsoleSize

    size = ConsoleSize(height=65536 + 24, width=80)
    made = plan(spec(process={"consoleSize": size}), console=True)
    console = next(op for op in made.ops if isinstance(op, ops.Console))
    assert (console.rows, console.columns, console.device) == (24, 80, 1)
    assert not any(isinstance(op, ops.StdioOwner) for op in made.ops)

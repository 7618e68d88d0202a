"""What can't be planned is refused with the JSON path of what to change; what can be done without is a warning."""

from __future__ import annotations

import pytest

from tests.golden.cases import spec, with_mounts, with_namespaces
from tests.golden.hosts import HYBRID, V1, V2, options
from utsuwa.errors import Error, FailedPrecondition, InvalidArgument, Unsupported
from utsuwa.linux.capabilities import SYS_RESOURCE
from utsuwa.linux.host import Host
from utsuwa.plan import ops
from utsuwa.plan.create import create
from utsuwa.plan.plan import Plan
from utsuwa.spec import mount as engine
from utsuwa.spec.codec import decode
from utsuwa.spec.runtime import Capabilities, Device, Hook, Hooks, Mount, Resources, Rlimit, Root, Spec, User


def plan(changed: Spec, host: Host = V1, **kwargs: object) -> Plan:
    return create(changed, host, options(host, **kwargs))


@pytest.mark.parametrize(("mount", "message"), [
    (Mount(destination="/"), "mounts[0].destination: mounting on / is not allowed"),
    (Mount(destination="//./"), "mounts[0].destination: mounting on / is not allowed"),
    (Mount(destination="/etc/.."), "mounts[0].destination: mounting on / is not allowed"),
    (Mount(destination="/proc", type="tmpfs"), "only procfs can be mounted at /proc"),
    (Mount(destination="/x/../proc", type="tmpfs"), "only procfs can be mounted at /proc"),
    (Mount(destination="/proc", source="/evil", options=("bind",)), "only procfs can be mounted at /proc"),
    (Mount(destination="proc/self", type="proc"), "/proc/self can't be mounted because it is inside /proc"),
    (Mount(destination="/proc/sys/kernel", source="/a", options=("rbind",)), "because it is inside /proc"),
    (Mount(destination="/proc/meminfo/../version", source="/a", options=("bind",)), "because it is inside /proc"),
    (Mount(destination="/a", options=("bind",)), "mounts[0].source: a bind mount needs one"),
    (Mount(destination="/a", source="/b", type="tmpfs", options=("bind", "tmpcopyup")), "tmpcopyup is for tmpfs"),
    (Mount(destination="/a", type="ext4", options=("tmpcopyup",)), "tmpcopyup is for tmpfs, not for ext4"),
])  # fmt: skip
def test_mounts_that_are_not_allowed(mount: Mount, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        plan(spec(mounts=(mount,)))
    assert message in str(caught.value) and str(caught.value).startswith("mounts[0]")


@pytest.mark.parametrize("path", ["/proc/cpuinfo", "/proc//uptime", "/proc/sys/kernel/ns_last_pid"])
def test_files_of_proc_that_may_be_covered(path: str) -> None:
    made = plan(spec(mounts=with_mounts(Mount(destination=path, source="/lxcfs", options=("bind",)))))
    assert any(isinstance(op, ops.Bind) and op.source == "/lxcfs" for op in made.ops)


def test_the_hosts_procfs_may_be_bound() -> None:
    made = plan(spec(mounts=(Mount(destination="/proc", source="/proc", options=("rbind",)),)))
    assert any(isinstance(op, ops.Bind) and op.target == "/proc" for op in made.ops)


@pytest.mark.parametrize(("changed", "message"), [
    (spec(process={"args": None}), "process.args: expected a program to run"),
    (spec(process={"args": ("",)}), "process.args: expected a program to run"),
    (spec(process={"env": ("PATH",)}), 'process.env: "PATH" is not of the form NAME=value'),
    (spec(process={"env": ("=x",)}), 'process.env: "=x" is not of the form NAME=value'),
    (spec(process={"rlimits": (Rlimit(type="RLIMIT_LUCK", soft=1, hard=1),)}), "process.rlimits[0].type"),
    (spec(linux={"devices": (Device(type="c", path="/dev/x"),)}), "linux.devices[0]: a device needs major and minor"),
    (spec(linux={"namespaces": with_namespaces(spec(), "uts")}), "hostname: needs a uts namespace"),
    (spec(linux={"namespaces": with_namespaces(spec(), "mount")}, root=None), "linux.readonlyPaths: needs a mount"),
])  # fmt: skip
def test_configurations_that_can_not_be_planned(changed: Spec, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        plan(changed)
    assert str(caught.value).startswith(message)


def test_a_process_is_not_required_before_start() -> None:
    idle = spec(hooks=Hooks(startContainer=(Hook(path="/a"),))).replace(process=None)
    made = plan(idle)
    assert made.ops[-1] == ops.Exec(("",), ())
    assert not any(isinstance(op, (ops.FindExecutable, ops.Hook)) for op in made.ops)
    with pytest.raises(InvalidArgument, match=r"^process: missing, there is nothing to start$"):
        plan(idle, await_start=False)


def test_a_cgroup_mount_needs_cgroups() -> None:
    with pytest.raises(FailedPrecondition, match=r"mounts\[6\]: no cgroup hierarchy is mounted"):
        create(spec(), Host(), options(cgroup=None))


def test_hooks_need_the_state_document() -> None:
    with pytest.raises(InvalidArgument, match=r"hooks\.startContainer"):
        plan(spec(hooks=Hooks(startContainer=(Hook(path="/h"),))), state_json=None)


@pytest.mark.parametrize(("mounts", "kind"), [
    ((engine.Mount(type="ext4", source="/dev/vdb"),), Unsupported),
    ((engine.Mount(type="overlay", source="overlay", options=("upperdir=/u",)),), InvalidArgument),
    ((engine.Mount(type="bind", source="/a"), engine.Mount(type="bind", source="/b")), Unsupported),
])  # fmt: skip
def test_roots_that_can_not_be_made(mounts: tuple[engine.Mount, ...], kind: type[Error]) -> None:
    with pytest.raises(kind):
        plan(spec(), root_mounts=mounts)


def test_what_the_host_can_not_grant_is_left_out_with_a_warning() -> None:
    names = ("CAP_KILL", "CAP_SYS_RESOURCE", "CAP_TIME_TRAVEL")
    sets = Capabilities(bounding=names, effective=names, permitted=names)
    made = plan(spec(process={"capabilities": sets}), HYBRID)
    granted = next(op for op in made.ops if isinstance(op, ops.Capabilities))
    assert (granted.effective, granted.permitted) == (1 << 5, 1 << 5)
    assert made.warnings == (
        "process.capabilities: left out what can't be granted here: CAP_TIME_TRAVEL, CAP_SYS_RESOURCE",
    )


def test_a_user_namespace_brings_all_its_capabilities() -> None:
    names = ("CAP_SYS_RESOURCE",)
    changed = spec(
        process={"capabilities": Capabilities(bounding=names, permitted=names)},
        linux={"namespaces": with_namespaces(spec(), user="/run/ns/user")},
    )
    made = plan(changed, HYBRID)
    assert not made.warnings
    assert next(op for op in made.ops if isinstance(op, ops.Capabilities)).permitted == SYS_RESOURCE


def test_capabilities_unknown_to_the_kernel_are_left_out() -> None:
    sets = Capabilities(bounding=("CAP_BPF", "CAP_KILL"))
    made = plan(spec(process={"capabilities": sets}), V1.replace(last_capability=37))
    assert next(op for op in made.ops if isinstance(op, ops.DropBounding)).keep == 1 << 5
    assert "CAP_BPF" in made.warnings[0]


def test_ambient_capabilities_need_to_be_inheritable() -> None:
    sets = Capabilities(
        permitted=("CAP_CHOWN", "CAP_KILL"), inheritable=("CAP_KILL",), ambient=("CAP_CHOWN", "CAP_KILL")
    )
    made = plan(spec(process={"capabilities": sets}))
    assert next(op for op in made.ops if isinstance(op, ops.Capabilities)).ambient == 1 << 5
    (warning,) = made.warnings
    assert warning.startswith("can't raise ambient capability CAP_CHOWN: ")


def test_a_score_that_can_not_be_lowered_is_left_out_with_a_warning() -> None:
    made = plan(spec(process={"oomScoreAdj": -1}), HYBRID)
    assert not any(isinstance(op, ops.OomScoreAdj) for op in made.ops)
    assert made.warnings == ("process.oomScoreAdj: below 0 only CAP_SYS_RESOURCE leads: -1 is left out",)
    assert ops.OomScoreAdj(-1) in plan(spec(process={"oomScoreAdj": -1}), V1).ops
    assert plan(spec(process={"oomScoreAdj": -1}), V1.replace(in_user_namespace=True)).warnings
    assert ops.OomScoreAdj(0) in plan(spec(process={"oomScoreAdj": 0}), HYBRID).ops


def test_what_a_bind_mount_can_not_take_is_left_out_with_a_warning() -> None:
    words = ("bind", "nosuid", "mode=755", "X-mount.subdir=c", "size=1k\n")
    bind = Mount(destination="/a", source="/b", options=words)
    again = Mount(destination="/a", source="/b", options=("remount", "bind", "ro", "mode=700"))
    made = plan(spec(mounts=(bind, again)))
    assert made.warnings == (
        'mounts[0].options: "mode=755", "size=1k\\n" left out, without effect on a bind mount',
        'mounts[1].options: "mode=700" left out, without effect on a bind mount',
    )
    assert next(op for op in made.ops if isinstance(op, ops.Bind)).subdirectory == "c"
    assert [op.options for op in made.ops if isinstance(op, ops.Remount) and op.target == "/a"] == [()]


def test_mounts_without_a_mount_namespace_are_left_out_with_a_warning() -> None:
    changed = spec(
        linux={"namespaces": with_namespaces(spec(), "mount"), "maskedPaths": (), "readonlyPaths": None},
        root=None,
    )
    made = plan(changed, V2)
    assert made.warnings == ("mounts: left out, because the container shares the host's mount namespace",)
    assert not any(isinstance(op, (ops.Mount, ops.Bind, ops.Mknod, ops.Symlink)) for op in made.ops)


def test_a_read_only_root_without_a_mount_namespace_is_a_copy() -> None:
    namespaces = with_namespaces(spec(), "mount")
    for readonly in (False, True):
        changed = spec(
            linux={"namespaces": namespaces, "maskedPaths": (), "readonlyPaths": None},
            root=Root(path="rootfs", readonly=readonly),
        )
        assert ops.Chroot("/bundles/web/rootfs", int(readonly)) in plan(changed, V2).ops


def test_keep_counts_the_preserved_descriptors() -> None:
    assert plan(spec(), preserve_fds=2).keep == (3, 4)
    assert plan(spec()).keep == ()


def test_groups_may_stay_as_the_caller_has_them() -> None:
    changed = spec(process={"user": User(uid=1, gid=1)}, annotations={"run.oci.keep_original_groups": "1"})
    assert next(op for op in plan(changed).ops if isinstance(op, ops.SetIdentity)).keep_groups == 1


@pytest.mark.parametrize(
    ("resources", "names"),
    [
        ({"memory": {"swappiness": 0, "limit": 5}}, ["memory.swappiness"]),
        (
            {"memory": {"disableOOMKiller": True}, "network": {"classID": 5}},
            ["memory.disableOOMKiller", "network.classID"],
        ),
        ({"cpu": {"realtimePeriod": 0, "shares": 5}, "memory": {"disableOOMKiller": False}}, []),
    ],
)
def test_what_cgroup_v2_lacks_is_told(resources: dict[str, object], names: list[str]) -> None:
    linux = {"resources": decode(Resources, resources)}
    told = [f"linux.resources.{name}: left out, cgroup v2 has nothing like it" for name in names]
    assert plan(spec(linux=linux), V2).warnings == tuple(told)
    assert not plan(spec(linux=linux), V1).warnings

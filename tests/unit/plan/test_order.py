"""The laws of order. Each holds for every golden plan in which both operations occur."""

from __future__ import annotations

import pytest

from tests.golden.cases import CASES, Filter, spec
from tests.golden.hosts import V1, V2, options
from utsuwa.linux.mounts import MOUNT_ATTR_RDONLY
from utsuwa.linux.namespaces import CLONE_NEWCGROUP, CLONE_NEWNS, CLONE_NEWUSER
from utsuwa.plan import ops
from utsuwa.plan.create import create
from utsuwa.plan.plan import Plan
from utsuwa.spec.runtime import Hook, Hooks

PLANS = {name: make() for name, make in CASES.items() if name != "before_there_is_a_request"}

# All of the former come before all of the latter.
LAWS: list[tuple[type[ops.Op] | tuple[type[ops.Op], ...], type[ops.Op] | tuple[type[ops.Op], ...], str]] = [
    (ops.OomScoreAdj, (ops.Enter, ops.JoinNamespaces, ops.Clone), "the host's own /proc/self is meant"),
    (ops.OomScoreAdj, ops.NotDumpable, "files of /proc/self are root's afterwards"),
    (ops.AttachDeviceFilter, ops.Clone, "no process runs unfiltered"),
    (ops.JoinNamespaces, ops.Clone, "a pid namespace takes effect for children only"),
    (ops.JoinCgroups, ops.Unshare, "the cgroup namespace's root is the cgroup of that moment"),
    (ops.JoinCgroups, ops.Enter, "cgroup directories are the host's"),
    (ops.Clone, ops.Unshare, "the cgroup namespace belongs to the new user namespace"),
    (ops.JoinCgroups, ops.BecomeRoot, "root of the container may not write the host's cgroups"),
    (ops.Clone, ops.BecomeRoot, "the child is in the user namespace"),
    (ops.BecomeRoot, (ops.RootPropagation, ops.NewSession), "everything is prepared as root"),
    (ops.NotDumpable, (ops.BecomeRoot, ops.Enter), "nobody inside may look at this process"),
    (ops.NewSession, ops.Console, "only a session leader gets a controlling terminal"),
    (ops.RootPropagation, (ops.RootBind, ops.RootOverlay), "the new root must not appear on the host"),
    ((ops.RootBind, ops.RootOverlay), (ops.Mount, ops.Bind, ops.Mknod, ops.Symlink), "targets are beneath the root"),
    ((ops.Mount, ops.Bind, ops.Mknod, ops.Symlink), (ops.Pivot, ops.MoveRoot), "hooks before the pivot see all"),
    ((ops.Pivot, ops.MoveRoot, ops.Chroot), (ops.Workdir, ops.FindUser, ops.SetHome), "the container's own files"),
    ((ops.Pivot, ops.MoveRoot), (ops.Mask, ops.Readonly, ops.Console), "the container's root is /"),
    (ops.Workdir, ops.SetIdentity, "the directory is made as root"),
    (ops.FindUser, (ops.SetHome, ops.Console, ops.StdioOwner, ops.SetIdentity), "they use who was found"),
    (ops.SetHome, ops.SetIdentity, "/etc/passwd may be root's"),
    (ops.Sysctl, (ops.Readonly, ops.Mask), "a procfs in a user namespace needs an uncovered one in sight"),
    (ops.Readonly, ops.Mask, "a mask wins"),
    (ops.Clone, (ops.Hostname, ops.Domainname, ops.Sysctl, ops.LoopbackUp), "they belong to the new namespaces"),
    ((ops.Hostname, ops.Domainname, ops.Sysctl), ops.DropBounding, "they need CAP_SYS_ADMIN"),
    (ops.StdioOwner, ops.SetIdentity, "chown needs CAP_CHOWN"),
    (ops.Rlimit, (ops.SetIdentity, ops.Capabilities), "raising needs CAP_SYS_RESOURCE"),
    (ops.NoNewPrivs, ops.Seccomp, "it gives the right to load the filter"),
    (ops.DropBounding, ops.SetIdentity, "dropping needs CAP_SETPCAP"),
    (ops.SetIdentity, ops.Capabilities, "a change of ids clears the effective set"),
    (ops.Capabilities, ops.FindExecutable, "the executable is looked for with the rights of the process"),
    (ops.FindExecutable, ops.AwaitStart, "create says that there is no such program"),
    (ops.AwaitStart, ops.Supervise, "a failure before start has one process to end"),
    (ops.Supervise, ops.Exec, "the child is the program"),
]  # fmt: skip


def _places(plan: Plan, kinds: type[ops.Op] | tuple[type[ops.Op], ...]) -> list[int]:
    return [place for place, op in enumerate(plan.ops) if isinstance(op, kinds)]


@pytest.mark.parametrize(("first", "then", "why"), LAWS, ids=[law[2] for law in LAWS])
def test_law(first: type[ops.Op], then: type[ops.Op], why: str) -> None:
    tried = 0
    for name, plan in PLANS.items():
        before, after = _places(plan, first), _places(plan, then)
        if before and after:
            tried += 1
            assert max(before) < min(after), f"{name}: {why}"
    assert tried, "no golden plan has both"


def test_a_child_enters_only_what_its_parent_may_not() -> None:
    """A pid namespace is one for children; and the parent has to be where it may put a child into its cgroup."""
    late = 0
    for plan in PLANS.values():
        for place in _places(plan, ops.Enter):
            op, born = plan.ops[place], _only(plan, ops.Clone)
            assert isinstance(op, ops.Enter)
            assert op.keep == (place < born and len(_places(plan, ops.Enter)) > 1)
            if place > born:
                late |= op.flags
    assert late == CLONE_NEWCGROUP | CLONE_NEWUSER


def _only(plan: Plan, kind: type[ops.Op]) -> int:
    (place,) = _places(plan, kind)
    return place


def test_every_plan_has_one_clone_and_ends_in_its_exec() -> None:
    for plan in PLANS.values():
        _only(plan, ops.Clone)
        assert _only(plan, ops.Exec) == len(plan.ops) - 1


def test_id_maps_come_first_in_a_new_user_namespace() -> None:
    tried = 0
    for plan in PLANS.values():
        clone = plan.ops[_only(plan, ops.Clone)]
        asked = [place for place, op in enumerate(plan.ops) if op == ops.Ask(ops.ID_MAPS)]
        assert bool(asked) == bool(clone.flags & CLONE_NEWUSER)
        if asked:
            tried += 1
            assert _only(plan, ops.Clone) < asked[0] < _only(plan, ops.NotDumpable) < _only(plan, ops.BecomeRoot)
            assert max(_places(plan, ops.Rlimit)) < _only(plan, ops.Clone), "limits can't be raised in it"
    assert tried


def test_a_cgroup_namespace_is_never_made_by_clone() -> None:
    for plan in PLANS.values():
        assert not plan.ops[_only(plan, ops.Clone)].flags & CLONE_NEWCGROUP


def test_v1_cgroups_are_joined_by_the_child_unless_the_host_goes_out_of_sight() -> None:
    default = PLANS["default_on_v1"]
    assert _only(default, ops.Clone) < _only(default, ops.JoinCgroups)
    joining = PLANS["joins_a_user_and_a_mount_namespace"]
    assert _only(joining, ops.JoinCgroups) < _only(joining, ops.JoinNamespaces)
    assert not joining.ops[_only(joining, ops.Clone)].flags & CLONE_NEWNS


def test_seccomp_without_no_new_privs_comes_before_privileges_go() -> None:
    plan = PLANS["seccomp_without_no_new_privileges"]
    assert not _places(plan, ops.NoNewPrivs)
    assert plan.requests()[-1] == ops.READY
    ready = plan.ops.index(ops.Ask(ops.READY))
    assert ready < _only(plan, ops.Seccomp) < _only(plan, ops.DropBounding)


def test_seccomp_with_no_new_privs_is_last_before_hooks_and_exec() -> None:
    golden = PLANS["seccomp_with_no_new_privileges"]
    assert golden.ops[-3:-1] == (ops.AwaitStart(ops.START_LISTENER), ops.Seccomp(Filter.filter, 0))
    changed = spec(hooks=Hooks(startContainer=(Hook(path="/hook"),)))
    plan = create(changed, V1, options(seccomp=Filter, init=True))
    assert [type(op) for op in plan.ops[-5:]] == [ops.AwaitStart, ops.Seccomp, ops.Hook, ops.Supervise, ops.Exec]


def test_the_working_directory_is_tried_before_and_after_the_change_of_user() -> None:
    for name, plan in PLANS.items():
        if name.startswith("restore_"):
            continue
        *hooks, first, second = _places(plan, ops.Chdir)
        assert bool(hooks) == any(isinstance(op, ops.Hook) and op.kind == ops.CREATE_CONTAINER for op in plan.ops)
        assert first < _only(plan, ops.SetIdentity) < second
        assert (plan.ops[first].may_fail, plan.ops[second].may_fail) == (1, 0)
        assert plan.ops[first].path == plan.ops[second].path


def test_read_only_remounts_come_after_everything_that_writes() -> None:
    plan = PLANS["read_only_dev_is_sealed_after_the_devices"]
    sealed = [place for place in _places(plan, ops.Remount) if plan.ops[place].target in ("/", "/dev")]
    assert [plan.ops[place].target for place in sealed] == ["/dev", "/"]
    writers = _places(plan, (ops.Mknod, ops.Symlink, ops.Mount, ops.Bind, ops.Workdir))
    assert max(writers) < min(sealed)
    assert not any(
        op.attributes & MOUNT_ATTR_RDONLY for op in plan.ops if isinstance(op, ops.Mount) and op.target == "/dev"
    )
    terminal = PLANS["terminal_with_size"]
    assert _only(terminal, ops.Console) < terminal.ops.index(ops.Remount("/", MOUNT_ATTR_RDONLY))


def test_hooks_run_where_they_belong() -> None:
    plan = PLANS["hooks_of_every_kind"]
    asked = plan.ops.index(ops.Ask(ops.CREATE_RUNTIME_HOOKS))
    hooks = _places(plan, ops.Hook)
    created, started = hooks[:2], hooks[2:]
    mounts = _places(plan, (ops.Mount, ops.Bind, ops.Mknod, ops.Symlink))
    assert plan.ops[min(created) - 1] == ops.Chdir("/bundles/web/rootfs")
    assert max(mounts) < asked < min(created) < max(created) < _only(plan, ops.Pivot)
    assert _only(plan, ops.AwaitStart) < min(started) < max(started) < _only(plan, ops.Exec)
    assert [plan.ops[place].kind for place in hooks] == [1, 1, 2, 2]
    assert [plan.ops[place].index for place in hooks] == [0, 1, 0, 1]


def test_the_conversation_is_read_off_the_plan() -> None:
    assert PLANS["default_on_v1"].requests() == (ops.READY,)
    assert PLANS["hooks_of_every_kind"].requests() == (ops.CREATE_RUNTIME_HOOKS, ops.READY)
    assert PLANS["new_user_namespace"].requests() == (ops.ID_MAPS, ops.READY)
    assert PLANS["exec_in_a_container"].requests() == ()


def test_ready_is_asked_before_start_can_be_awaited() -> None:
    for name, plan in PLANS.items():
        if not name.startswith(("exec_", "restore_")):
            ready = plan.ops.index(ops.Ask(ops.READY))
            assert ready < min(_places(plan, (ops.AwaitStart, ops.Exec)))


def test_no_operation_names_a_slot_that_is_not_there() -> None:
    assert not _places(create(spec(), V2, options(V2, await_start=False)), (ops.AwaitStart, ops.Console))

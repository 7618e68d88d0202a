"""Into the namespaces: join what exists, make what does not, and be in the right cgroup when the cgroup one is made."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument
from utsuwa.linux.capabilities import SYS_ADMIN
from utsuwa.linux.namespaces import CLONE_NEWCGROUP, CLONE_NEWNET, CLONE_NEWTIME, KINDS
from utsuwa.plan import cgroupmounts, deputy, labels, ops
from utsuwa.plan.plan import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from utsuwa.plan.case import Case, CreateCase, ExecCase

_NAMESPACES = "config-linux.md#namespaces"
_CGROUPS = "config-linux.md#cgroups-path"


def enter(case: CreateCase) -> Iterator[Step]:
    """Join the namespaces with a path, start the child in new ones, join its cgroups, then make the cgroup namespace.

    A cgroup namespace made before the cgroup is joined would show ``/..`` (cgroup_namespaces(7)).
    """
    joined = [(KINDS[kind], path) for kind, path in case.kinds.items() if path]
    leaves_early = bool(case.kinds.get("mount"))
    if leaves_early:
        yield from _join_cgroups(case)
    if joined:
        kinds, paths = zip(*joined, strict=True)
        yield Step(ops.JoinNamespaces(kinds, paths), _NAMESPACES)
    yield _clone(case, case.flags(joined=False) & ~(CLONE_NEWCGROUP | CLONE_NEWTIME | case.options.ahead))
    if not case.options.cgroups_later:
        if not leaves_early:
            yield from _join_cgroups(case)
        yield from _cgroup_namespace(case)
    if case.makes("time"):
        yield Step(ops.TimeNamespace(_clocks(case)), "config-linux.md#offset-for-time-namespace")


def _cgroup_namespace(case: CreateCase) -> Iterator[Step]:
    if case.makes("cgroup"):
        yield Step(ops.Unshare(CLONE_NEWCGROUP), _NAMESPACES)


def join_later(case: CreateCase, steps: Iterable[Step]) -> Iterator[Step]:
    """The steps that fill the root; and the cgroups, if they are made meanwhile, before what mounts show of them.

    That one then waits, with all that is about places above or below it, for the others, so that the process need not.
    """
    if not case.options.cgroups_later:
        yield from steps
        return
    waiting: list[Step] = []
    for step in steps:
        if step.section == cgroupmounts.SECTION or not all(_is_apart(step, each) for each in waiting):
            waiting.append(step)
        else:
            yield step
    yield Step(ops.Ask(ops.CGROUPS), _CGROUPS)
    yield from _join_cgroups(case)
    yield from _cgroup_namespace(case)
    yield from waiting


def _is_apart(step: Step, other: Step) -> bool:
    """Neither of the two is about a place at or below the other's: which comes first makes no difference."""
    one, two = _place(step), _place(other)
    return bool(one and two) and not f"{one}/".startswith(f"{two}/") and not f"{two}/".startswith(f"{one}/")


def _place(step: Step) -> str:
    """What in the root it is about, "" if nobody knows."""
    return getattr(step.op, "path", "") or getattr(step.op, "target", "")


def _clocks(case: CreateCase) -> str:
    """Lines as /proc/PID/timens_offsets takes them (time_namespaces(7))."""
    offsets = case.linux.timeOffsets or {}
    return "".join([f"{clock} {each.secs or 0} {each.nanosecs or 0}\n" for clock, each in offsets.items()])


def join_scope(case: Case) -> Iterator[Step]:
    """A scope of systemd: the runtime has this process, stage 1, put there, and the child is born in its cgroup."""
    cgroup = case.options.cgroup
    if cgroup and cgroup.scope:
        yield Step(ops.Ask(ops.JOIN_SCOPE), _CGROUPS)


def enter_container(case: ExecCase) -> Iterator[Step]:
    """Join the cgroups of a running container, and its namespaces by the pidfd of its first process."""
    yield from join_scope(case)
    yield from _join_cgroups(case)
    later = _after_birth(case)
    if case.kinds:
        yield Step(ops.Enter(ops.PIDFD, case.flags() & ~later, int(later != 0)), _NAMESPACES)
    yield _clone(case, 0)
    if later:
        yield Step(ops.Enter(ops.PIDFD, later, 0), _NAMESPACES)


def _after_birth(case: ExecCase) -> int:
    """CLONE_NEW* bits of what a child that is born in a v2 cgroup enters only then: its parent has to be allowed there.

    From a cgroup namespace that does not show the parent's own cgroup nobody is, where the hierarchy is mounted with
    nsdelegate, as systemd does (cgroups(7)); in a user namespace the host's root isn't, if the cgroup is the user's.
    A caller without privileges has to be in the user namespace to enter any other.
    """
    later = 0
    if birthplace(case):
        kinds = ("cgroup", "user") if case.host.permitted & SYS_ADMIN else ("cgroup",)
        for kind in kinds:
            later |= KINDS[kind] if case.has(kind) else 0
    return later


def _clone(case: Case, flags: int) -> Step:
    """The child, on v2 born in its cgroup."""
    return Step(ops.Clone(flags, birthplace(case)), _NAMESPACES)


def birthplace(case: Case) -> str:
    """The v2 cgroup that a child is cloned into, "" for where its parent is."""
    cgroup = case.options.cgroup
    return cgroup.unified if cgroup and not cgroup.scope else ""


def _join_cgroups(case: Case) -> Iterator[Step]:
    """The v1 cgroups: by the child, unless the host's mounts are out of its sight; then it inherits them."""
    cgroup = case.options.cgroup
    if cgroup and cgroup.v1:
        yield Step(ops.JoinCgroups(tuple(cgroup.v1)), _CGROUPS)
    if cgroup and cgroup.resctrl:
        yield Step(ops.JoinCgroups(cgroup.resctrl), "config-linux.md#intelrdt")


def settle(case: CreateCase) -> Iterator[Step]:
    """What new namespaces start without: a session and its keyring, and a loopback interface that is up."""
    yield from new_session(case)
    if case.makes("network") and not case.options.ahead & CLONE_NEWNET:
        yield Step(ops.LoopbackUp(), _NAMESPACES)
    if case.makes("network") and case.options.network:
        yield Step(ops.NetlinkSockets(), _NAMESPACES)
    for device, wanted in (case.linux.netDevices or {}).items():
        yield Step(ops.NetDevice(device, wanted.name or ""), deputy.NET_DEVICES)


def new_session(case: Case) -> Iterator[Step]:
    """A session of its own, so that a terminal can control it, with its own keyring (keyrings(7))."""
    yield Step(ops.NewSession(), "setsid(2)")
    if case.options.keyring:
        yield from labels.keyring(case, case.options.keyring)


def name(case: CreateCase) -> Iterator[Step]:
    """Host name, domain name and sysctls, which belong to the new namespaces."""
    for value, op, key in (
        (case.spec.hostname, ops.Hostname, "hostname"),
        (case.spec.domainname, ops.Domainname, "domainname"),
    ):
        if value:
            if not case.has("uts"):
                raise InvalidArgument(f"{key}: needs a uts namespace of the container's own in linux.namespaces")
            yield Step(op(value), f"config.md#{key}")
    for key, value in (case.linux.sysctl or {}).items():
        yield Step(ops.Sysctl(sysctl_path(key), value), "config-linux.md#sysctl")


def sysctl_path(key: str) -> str:
    """``net.ipv4.ip_forward`` as a path below /proc/sys; as in sysctl(8), the first separator decides for the others.

    ``net/ipv4/conf/eth0.1/forwarding`` and ``net.ipv4.conf.eth0/1.forwarding`` name the same file.
    """
    dot, slash = key.find("."), key.find("/")
    if dot < 0 or 0 <= slash < dot:
        return key
    return key.translate({ord("."): "/", ord("/"): "."})

"""The process that restores a container: CRIU, where the container's first process would be born.

It runs in the container's cgroups and in a mount namespace of its own, with the root mounted and every mount point
that the configuration needs in place: CRIU mounts again, but makes no mount points, and takes for root only what is
one. With that namespace all of it is gone again. The container's other namespaces are CRIU's to make.
"""

from __future__ import annotations

from utsuwa.linux.mounts import MS_REC, MS_SLAVE
from utsuwa.linux.namespaces import CLONE_NEWNET, CLONE_NEWNS
from utsuwa.plan import limits, namespaces, ops, rootfs
from utsuwa.plan.case import CreateCase
from utsuwa.plan.create import create
from utsuwa.plan.plan import Plan, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from utsuwa.linux.host import Host
    from utsuwa.plan.options import CreateOptions
    from utsuwa.spec.runtime import Spec

_ROOT = "criu(8) --root"
_CGROUPS = "config-linux.md#cgroups-path"


class Criu:
    """What is executed: the path of CRIU, its words, its environment, the descriptors that it inherits."""

    def __init__(self, path: str, words: tuple[str, ...], environment: dict[str, str], keep: tuple[int, ...]) -> None:
        self.path = path
        self.words = words
        self.environment = tuple([f"{name}={value}" for name, value in environment.items()])
        self.keep = keep


def restore(spec: Spec, host: Host, options: CreateOptions, criu: Criu) -> Plan:
    """Everything up to the execution of CRIU; raises as :func:`utsuwa.plan.create.create` does for the same bundle."""
    made = create(spec, host, options)
    assert spec.process is not None  # or there would be no plan
    case = CreateCase(spec, spec.process, host, options)
    cgroup = options.cgroup
    steps = [*namespaces.join_scope(case), *limits.devices(case)]
    steps.append(Step(ops.Clone(CLONE_NEWNS, namespaces.birthplace(case)), _ROOT))
    if cgroup and cgroup.v1:
        steps.append(Step(ops.JoinCgroups(tuple(cgroup.v1)), _CGROUPS))
    if cgroup and cgroup.resctrl:
        steps.append(Step(ops.JoinCgroups(cgroup.resctrl), "config-linux.md#intelrdt"))
    steps += [
        Step(ops.RootPropagation(MS_SLAVE | MS_REC), _ROOT),
        *[step for step in rootfs.prepare(case) if not isinstance(step.op, ops.RootPropagation)],
        *_mount_points(made),
        Step(ops.FindExecutable(criu.path, ""), "criu(8)"),
        Step(ops.Exec(criu.words, criu.environment), "criu(8)"),
    ]
    return Plan(steps, made.warnings, criu.keep)


def network(pid: int) -> Plan:
    """What CRIU leaves to others of a network namespace that process ``pid`` has just got: its loopback interface."""
    joined = ops.JoinNamespaces((CLONE_NEWNET,), (f"/proc/{pid}/ns/net",))
    return Plan([Step(joined, "criu(8) --empty-ns"), Step(ops.LoopbackUp(), "config-linux.md#namespaces")])


def _mount_points(made: Plan) -> Iterator[Step]:
    """What ``made`` mounts on, where it lies in the root or in a tree that is bound there.

    A bound tree is mounted to make the points within it, and unmounted again; what lies in a fresh file system comes
    out of the images.
    """
    fresh: list[str] = []
    bound: list[str] = []
    for step in made.steps:
        op = step.op
        if not isinstance(op, (ops.Mount, ops.Bind)) or _is_beneath(op.target, fresh):
            continue
        if isinstance(op, ops.Mount):
            yield Step(ops.Mkdir(op.target, 0o755), step.section)
            fresh.append(op.target)
        else:
            yield Step(ops.Bind(op.source, op.target, op.recursive), step.section)
            bound.append(op.target)
    for target in reversed(bound):
        yield Step(ops.Unmount(target), _ROOT)


def _is_beneath(target: str, places: list[str]) -> bool:
    return any(target.startswith(f"{place}/") for place in places)

"""One more process in a running container: a second plan for the same executor, made of the same rooms."""

from __future__ import annotations

from utsuwa.plan import identity, labels, limits, namespaces, ops, process, rootfs, scheduling, security
from utsuwa.plan.case import ExecCase
from utsuwa.plan.plan import Plan, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from utsuwa.linux.host import Host
    from utsuwa.plan.options import ExecOptions
    from utsuwa.spec.runtime import Process, Spec


def execute(what: Process, spec: Spec, host: Host, options: ExecOptions) -> Plan:
    """Everything a process of `urun exec` does; ``spec`` is the configuration that the container was created from.

    Pure, and raises as :func:`utsuwa.plan.create.create` does.
    """
    case = ExecCase(spec, what, host, options)
    steps = (
        *scheduling.before_joining(case),
        *limits.outside(case),
        Step(ops.NotDumpable(), "CVE-2016-9962"),  # the container's processes see this one from the clone on
        *namespaces.enter_container(case),
        *scheduling.after_joining(case),
        *_become_root(case),
        *namespaces.new_session(case),
        *process.host_console(case),
        *_enter_root(case),
        *identity.find_user(case),
        *process.home(case),
        *process.console(case, device=False),
        *labels.program(case),
        *limits.inside(case),
        *scheduling.apply(case),
        *identity.own_stdio(case),
        *identity.enter_workdir(case),
        *security.confine(case),
        *identity.become_user(case),
        *process.find(case),
        *security.confine_last(case),
        *process.execute(case),
    )
    return Plan(steps, case.warnings, range(3, 3 + options.preserve_fds))


def _become_root(case: ExecCase) -> Iterator[Step]:
    """Be root of the container's user namespace."""
    if case.has("user"):
        yield Step(ops.BecomeRoot(), "user_namespaces(7)")


def _enter_root(case: ExecCase) -> Iterator[Step]:
    """Be in the container's root directory, where no mount namespace leads there."""
    if not case.has("mount"):
        yield rootfs.chroot(case)

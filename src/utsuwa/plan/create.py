"""Spec and host in, plan out: what `urun create` and every engine's containers come down to."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument
from utsuwa.plan import (
    deputy,
    devices,
    identity,
    labels,
    limits,
    mounts,
    namespaces,
    process,
    rootfs,
    scheduling,
    security,
)
from utsuwa.plan.case import CreateCase
from utsuwa.plan.plan import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.linux.host import Host
    from utsuwa.plan.options import CreateOptions
    from utsuwa.spec.runtime import Spec


def create(spec: Spec, host: Host, options: CreateOptions) -> Plan:
    """Everything a container's first process does, in the order in which it happens (runtime.md#lifecycle).

    Pure: nothing is read but the arguments. ``spec`` is a validated one. Raises InvalidArgument with the JSON path for
    what can't be meant, Unsupported for what this version can't do, FailedPrecondition for what the host lacks.
    """
    if spec.process is None and not options.await_start:
        raise InvalidArgument("process: missing, there is nothing to start")
    case = CreateCase(spec, spec.process or process.NOTHING, host, options)
    steps = (
        *scheduling.all_processors(case),
        *deputy.stand_by(case),
        *mounts.open_sources(case),  # there may be more of them than the container may have open
        *limits.outside(case),
        *namespaces.join_scope(case),
        *limits.devices(case),
        *identity.hide(case),
        *namespaces.enter(case),  # from its clone on, the container's own process carries out the rest
        *identity.become_root(case),
        *namespaces.settle(case),
        *rootfs.prepare(case),
        *namespaces.join_later(case, (*mounts.attach(case), *devices.make(case))),
        *limits.device_rules(case),
        *process.create_runtime_hooks(case),
        *process.create_container_hooks(case),
        *process.host_console(case),
        *rootfs.enter(case),
        *process.workdir(case),
        *identity.find_user(case),
        *process.home(case),
        *process.console(case, device=True),
        *mounts.seal(case),
        *rootfs.seal(case),
        *namespaces.name(case),  # sysctls need a procfs without masks to be in sight (mount_too_revealing)
        *labels.program(case),
        *security.hide(case),
        *rootfs.forbid_binds(case),
        *limits.inside(case),
        *scheduling.apply(case),
        *identity.own_stdio(case),
        *process.ready(case),
        *identity.enter_workdir(case),
        *security.confine(case),
        *identity.become_user(case),
        *process.find(case),
        *deputy.leave(case),
        *process.await_start(case),
        *security.confine_last(case),
        *process.start_container_hooks(case),
        *process.supervise(case),
        *process.execute(case),
    )
    return Plan(steps, case.warnings, range(3, 3 + options.preserve_fds))

"""Exec into a container with a plan that a test has changed: to hold it in its worst moment, or to disarm it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.contract.oci import Runtime
from utsuwa.init.channel import REQUEST
from utsuwa.init.spawn import Child, spawn
from utsuwa.linux.host import probe
from utsuwa.plan import ops
from utsuwa.plan.exec import execute
from utsuwa.plan.options import ExecOptions
from utsuwa.plan.plan import Plan, Step
from utsuwa.runtime.exec import joining, open_init
from utsuwa.runtime.record import Store

Change = Callable[[list[Step]], list[Step]]


def without(kind: type[ops.Op]) -> Change:
    """Leave out a defence."""
    return lambda steps: [step for step in steps if not isinstance(step.op, kind)]


def unchanged(steps: list[Step]) -> list[Step]:
    return steps


@contextmanager
def held(oci: Runtime, change: Change = unchanged, keep: tuple[int, ...] = ()) -> Iterator[Child]:
    """A process that has entered the container, still has all rights, and waits. It is killed at the end."""
    container = Store(str(oci.root)).open(oci.id)
    spec = container.spec()
    assert spec.process is not None
    process = spec.process.replace(args=("/bin/true",))
    plan = execute(process, spec, probe(), ExecOptions(cgroup=joining(container, ())))
    steps = change(list(plan.steps))
    clone = next(index for index, step in enumerate(steps) if isinstance(step.op, ops.Clone))
    steps.insert(clone + 1, Step(ops.Ask(ops.READY), "held by a test"))
    pidfd = open_init(container)
    child = spawn(Plan(steps, keep=keep), {ops.PIDFD: pidfd})
    os.close(pidfd)
    try:
        while (report := child.next()) is not None and report.kind != REQUEST:
            pass
        yield child
    finally:
        child.close()
        os.waitpid(child.pid, 0)


def pid_inside(pid: int) -> int:
    """The number that a process of ours has in the container's pid namespace."""
    with open(f"/proc/{pid}/status") as status:
        return int(next(line for line in status if line.startswith("NSpid:")).split()[-1])

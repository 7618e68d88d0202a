"""What an executor can do before anybody knows which container it is for."""

from __future__ import annotations

from utsuwa.linux.namespaces import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWUTS
from utsuwa.plan import ops
from utsuwa.plan.plan import Plan, Step

KINDS = CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
"""Namespaces made ahead: the slowest, and such as show nothing of the host."""

_NAMESPACES = "config-linux.md#namespaces"


def begin() -> Plan:
    """The plan that comes first; the one that follows is made with ``CreateOptions.ahead``."""
    return Plan(
        (
            Step(ops.Unshare(KINDS), _NAMESPACES),
            Step(ops.LoopbackUp(), _NAMESPACES),
            Step(ops.AwaitPlan(), "child-protocol.md#a-plan-that-comes-later"),
        )
    )

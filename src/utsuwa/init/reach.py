"""Into the network namespace of a container that runs: a socket made there, which we then use from outside."""

from __future__ import annotations

from utsuwa.errors import FailedPrecondition
from utsuwa.init.spawn import spawn
from utsuwa.linux.namespaces import CLONE_NEWNET
from utsuwa.plan import ops
from utsuwa.plan.plan import Plan, Step


def route_socket(namespace: str) -> int:
    """A descriptor of a socket of rtnetlink(7) in the network namespace of a path; the caller's to close."""
    steps = (
        Step(ops.JoinNamespaces((CLONE_NEWNET,), (namespace,)), "setns(2)"),
        Step(ops.RouteSocket(), "rtnetlink(7)"),
    )
    child = spawn(Plan(steps))
    try:
        found = child.offered()
        if found < 0:
            raise FailedPrecondition(f"no socket from the network namespace {namespace}")
        child.await_end()
    finally:
        child.close()
    return found

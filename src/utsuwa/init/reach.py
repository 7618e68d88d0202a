"""Into the network namespace of a container that runs: sockets made there, which we then use from outside."""

from __future__ import annotations

from utsuwa.errors import FailedPrecondition
from utsuwa.init.spawn import spawn
from utsuwa.linux.namespaces import CLONE_NEWNET
from utsuwa.plan import ops
from utsuwa.plan.plan import Plan, Step


def netlink_sockets(namespace: str) -> tuple[int, ...]:
    """Sockets of rtnetlink(7) and, where the kernel has it, of netfilter in the network namespace of a path; the
    caller's to close.
    """
    steps = (
        Step(ops.JoinNamespaces((CLONE_NEWNET,), (namespace,)), "setns(2)"),
        Step(ops.NetlinkSockets(), "rtnetlink(7)"),
    )
    child = spawn(Plan(steps))
    try:
        found = child.offered()
        if not found:
            raise FailedPrecondition(f"no sockets from the network namespace {namespace}")
        child.await_end()
    finally:
        child.close()
    return found

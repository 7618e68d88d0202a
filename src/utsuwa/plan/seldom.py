"""Operations that few plans hold; ops.py shows them under its own name when first asked."""

from __future__ import annotations

from utsuwa.plan.op import Op
from utsuwa.plan.ops import NETWORK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.plan.op import Bytes, Number, Numbers, Text, Texts


class OpenSources(Op):
    """Copies of host trees, made with the caller's rights for those BINDs whose own don't reach so far."""

    code = 49
    paths: Texts
    recursive: Numbers


class Personality(Op):
    """personality(2)."""

    code = 50
    domain: Number


class Scheduler(Op):
    """sched_setattr(2) on itself; times are nanoseconds."""

    code = 51
    policy: Number
    nice: Number
    priority: Number
    flags: Number
    runtime: Number
    deadline: Number
    period: Number


class IoPriority(Op):
    """ioprio_set(2) on the process group; ``kind`` is the class."""

    code = 52
    kind: Number
    priority: Number


class AwaitPlan(Op):
    """Receive another plan and its descriptors over the channel, and go on with that one instead."""

    code = 62


class Deputy(Op):
    """Fork a process that keeps the caller's rights, for the halves of BIND and NET_DEVICE that need them."""

    code = 56


class Dismiss(Op):
    """Let the deputy go: from here on nobody takes back what it did when this process fails."""

    code = 57


class TimeNamespace(Op):
    """A new time namespace, its clocks set by ``offsets`` as /proc/PID/timens_offsets takes them, and entered."""

    code = 58
    offsets: Text = ""


class NetDevice(Op):
    """Move a network device of the caller's namespace into this one; ``name`` "" keeps its name."""

    code = 59
    device: Text
    name: Text = ""


class MemoryPolicy(Op):
    """set_mempolicy(2); ``mode`` with its flags, ``nodes`` a mask with the lowest node first."""

    code = 60
    mode: Number
    nodes: Bytes = b""


class Label(Op):
    """Write ``value`` to the first of ``files`` that is there in /proc/thread-self/attr (proc_pid_attr(5))."""

    code = 63
    files: Texts
    value: Text


class Xattr(Op):
    """fsetxattr(2) on an in-root file or directory."""

    code = 64
    path: Text
    name: Text
    value: Text


class NetlinkSockets(Op):
    """Give the parent sockets of rtnetlink(7) and netfilter in this network namespace; it is not waited for."""

    code = 65
    asks = NETWORK


OPS: tuple[type[Op], ...] = tuple(Op.__subclasses__())

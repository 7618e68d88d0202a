"""The debug log: a plan's operations, and the words that runc's log is searched for."""

from __future__ import annotations

from utsuwa.cli.oci_debug import lines
from utsuwa.plan import ops
from utsuwa.plan.plan import Plan, Step

CLONE, EXEC = ops.Clone(0, ""), ops.Exec(("true",), ())


def log(*made: ops.Op) -> list[str]:
    return list(lines(Plan([Step(op, "test") for op in made])))


def test_a_container() -> None:
    assert log(CLONE, ops.Seccomp(bytes(8), 4), EXEC) == [
        "nsexec container setup: " + CLONE.describe(),
        "child process in init(): load a seccomp filter of 1 instructions",
        "seccomp filter flags: 4",
        "init: closing the pipe to signal completion: execute true",
    ]


def test_one_more_process() -> None:
    said = log(ops.CpuAffinity(b"\x02"), ops.Enter(ops.PIDFD, 0), CLONE, EXEC)
    assert said[1] == "nsexec: affinity: 0x2"
    assert said[-1] == "setns_init: about to exec: execute true"

"""The debug log: a plan's operations, and the words that runc's log is searched for."""

from __future__ import annotations

import sys

import pytest

from utsuwa.cli.oci_debug import lines
from utsuwa.cli.oci_report import worded
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


def test_under_the_name_of_runc_a_failed_operation_is_told_in_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/runc"])
    init = "runc run failed: unable to start container process: error during container init: "
    assert worded("bind /a at /b: no", "Bind", "run") == f"{init}error mounting: bind /a at /b: no"
    assert worded("set the host name: no", "Hostname", "run") == f"{init}set the host name: no"
    assert worded("exec /x: no", "Exec", "run") == "exec /x: no"
    assert worded("container x does not exist", "NoneType", "run") == "container x does not exist"
    monkeypatch.setattr(sys, "argv", ["/usr/bin/urun"])
    assert worded("bind /a at /b: no", "Bind", "run") == "bind /a at /b: no"

"""FAILED reports become errors of the fitting kind, in words that callers match on."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

import utsuwa.init.failure as details
from utsuwa.errors import Error, FailedPrecondition, Internal, InvalidArgument, NotFound, PermissionDenied
from utsuwa.init import channel
from utsuwa.init.channel import FAILED, Report
from utsuwa.init.failure import OpFailed, failure
from utsuwa.plan import ops
from utsuwa.plan.plan import Plan, Step

HOOK = ops.Hook(ops.CREATE_CONTAINER, 2, "/hook", (), (), 0, "", "")
MOUNT = ops.Mount("tmpfs", "tmpfs", "/tmp", ("size=1k", "nonsense"))


def failed(op: ops.Op, number: int, detail: int = 0, value: int = 0) -> OpFailed:
    return failure(Plan([Step(op, "")]), Report(FAILED, 0, number, detail, value))


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (failed(ops.Hostname("h"), errno.EPERM), PermissionDenied, "operation not permitted"),
        (failed(MOUNT, errno.EINVAL, details.FSCONFIG, 1), InvalidArgument, 'option "nonsense": invalid argument'),
        (failed(MOUNT, errno.ENODEV, details.FSOPEN), Error, "no such device"),
        (failed(MOUNT, errno.ELOOP, details.NOT_A_DIRECTORY), InvalidArgument, "must be mounted on ordinary directory"),
        (failed(HOOK, errno.ECANCELED, details.HOOK_STATUS, 0x100), FailedPrecondition, "hook #2: exit status 1"),
        (failed(HOOK, errno.ECANCELED, details.HOOK_STATUS, 9), FailedPrecondition, "hook #2: killed by signal 9"),
        (failed(HOOK, errno.ETIMEDOUT, details.HOOK_TIMEOUT, 50), FailedPrecondition, "timed out after 50 ms"),
        (failed(HOOK, errno.ENOENT, details.HOOK_START), NotFound, "createContainer hook #2: /hook: no such file"),
        (failed(ops.FindUser("joe:x"), errno.ENOENT, details.UNKNOWN_USER), NotFound, "unable to find user joe:"),
        (failed(ops.FindUser("joe:x"), errno.ENOENT, details.UNKNOWN_GROUP), NotFound, "unable to find group x:"),
        (failed(ops.Exec(("/a",), ()), errno.ENOEXEC), InvalidArgument, "exec /a: exec format error"),
        (failed(ops.FindExecutable("/a", ""), errno.EACCES), PermissionDenied, 'exec: "/a": permission denied'),
        (
            failed(ops.FindExecutable("a", ""), errno.ENOENT, details.EXECUTABLE_NOT_FOUND),
            NotFound,
            'exec: "a": executable file not found in $PATH',
        ),
        (failed(ops.Exec(("/a",), ()), errno.EINVAL, details.BAD_PLAN), Internal, "malformed"),
        (failed(ops.JoinCgroups(("/x", "/y")), errno.ENOENT, details.OPEN_CGROUP, 1), NotFound, "/y: no such file"),
    ],
)
def test_kind_and_words(error, kind, text):
    assert isinstance(error, OpFailed)
    assert isinstance(error, kind)
    assert text in str(error)


def test_context_keeps_the_kind():
    error = failed(ops.Hostname("h"), errno.EPERM)
    assert error.op == ops.Hostname("h") and error.errno == errno.EPERM
    assert isinstance(error.within("create c1"), PermissionDenied)
    assert str(error.within("create c1")).startswith("create c1: ")


@pytest.mark.parametrize(("macro", "module"), [("DETAIL", details), ("REPORT", channel)])
def test_numbers_are_those_of_ops_def(macro, module):
    text = (Path(details.__file__).parent / "c" / "ops.def").read_text()
    lines = [line for line in text.splitlines() if line.startswith(f"{macro}(")]
    numbers = {name: int(number) for name, number in (line[len(macro) + 1 : -1].split(", ") for line in lines)}
    ours = {name: value for name, value in vars(module).items() if name.isupper() and type(value) is int}
    assert numbers and {name: value for name, value in ours.items() if not name.startswith("_")} == numbers

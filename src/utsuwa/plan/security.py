"""What the process shall not see, write or call."""

from __future__ import annotations

import os

from utsuwa.errors import InvalidArgument
from utsuwa.plan import ops
from utsuwa.plan.plan import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from utsuwa.plan.case import Case, CreateCase

_SECCOMP = "config-linux.md#seccomp"


def hide(case: CreateCase) -> Iterator[Step]:
    """Read-only and masked paths; masks last, so that a mask wins over a path that is in both lists."""
    for name, op, section in (
        ("readonlyPaths", ops.Readonly, "config-linux.md#readonly-paths"),
        ("maskedPaths", ops.Mask, "config-linux.md#masked-paths"),
    ):
        paths = getattr(case.linux, name) or ()
        if paths and not case.has("mount"):
            raise InvalidArgument(f"linux.{name}: needs a mount namespace of the container's own in linux.namespaces")
        for path in dict.fromkeys(map(os.path.normpath, paths)):
            yield Step(op(path), section)


def confine(case: Case) -> Iterator[Step]:
    """no_new_privs; and without it the seccomp filter here, while the process still has the right to load one."""
    if case.process.noNewPrivileges:
        yield Step(ops.NoNewPrivs(), "config.md#linux-process")
    else:
        yield from _filter(case)


def confine_last(case: Case) -> Iterator[Step]:
    """With no_new_privs anybody may load a filter, so it comes last and need not allow the way here (seccomp(2))."""
    if case.process.noNewPrivileges:
        yield from _filter(case)


def _filter(case: Case) -> Iterator[Step]:
    program = case.options.seccomp
    if program and program.filter:
        yield Step(ops.Seccomp(program.filter, program.flags), _SECCOMP)

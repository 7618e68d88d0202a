"""What a FAILED report means in words: the operation's own description, and why it failed. Read only when one comes."""

from __future__ import annotations

import errno
import os

from utsuwa.errors import Error, FailedPrecondition, Internal, InvalidArgument, NotFound, Unavailable, from_oserror
from utsuwa.linux.signals import killed_by
from utsuwa.plan import ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from utsuwa.init.channel import Report
    from utsuwa.plan.plan import Plan

# Details, as in c/ops.def.
NONE = 0
NOT_A_DIRECTORY = 1
NOT_THAT_DEVICE = 2
HOOK_STATUS = 3
HOOK_TIMEOUT = 4
EXECUTABLE_NOT_FOUND = 5
NOT_PROCFS = 6
NOT_DEVPTS = 7
WRONG_NAMESPACE_TYPE = 8
OUTSIDE_ROOT = 9
BAD_PLAN = 10
UNKNOWN_USER = 11
UNKNOWN_GROUP = 12
NOT_NULL_DEVICE = 13
OPEN_SOURCE = 14
OPEN_TARGET = 15
FSOPEN = 16
FSCONFIG = 17
FSMOUNT = 18
SET_ATTRIBUTES = 19
SET_PROPAGATION = 20
MOVE_MOUNT = 21
COPY_UP = 22
BPF_LOAD = 23
BPF_ATTACH = 24
HOOK_START = 25
OPEN_CGROUP = 26
NO_REPLY = 27
ID_MAP = 28
SET_ID_MAP = 29
TIME_OFFSETS = 30
FIND_DEVICE = 31
ADD_ADDRESS = 32
DEVICE_UP = 33


class OpFailed(Error):
    """An operation of a plan failed. It is also of the kind that its errno amounts to (NotFound, PermissionDenied, …).

    ``op`` is the operation, ``errno`` the kernel's answer, ``detail`` and ``value`` say more (``c/ops.def``).
    """

    op: ops.Op | None = None
    errno: int = 0
    detail: int = NONE
    value: int = 0


def failure(plan: Plan, report: Report) -> OpFailed:
    """The error that a FAILED report stands for."""
    if report.detail == BAD_PLAN or report.op >= len(plan.ops):
        return _of_kind(Internal)(f"the executor refused operation {report.op} of the plan: it is malformed")
    op = plan.ops[report.op]
    reason = os.strerror(report.errno).lower()
    compose = _BY_DETAIL.get(report.detail) or _BY_OP.get(type(op)) or _plain
    kind = (
        _KINDS.get(report.detail)
        or _BY_ERRNO.get(report.errno)
        or type(from_oserror(OSError(report.errno, reason), ""))
    )
    if isinstance(op, ops.SetIdentity) and report.errno == errno.EINVAL:
        text = _identity(plan, op)
    else:
        text = compose(op, report, reason)
    error = _of_kind(kind)(text)
    error.op = op
    error.errno = report.errno
    error.detail = report.detail
    error.value = report.value
    return error


_KINDS: dict[int, type[Error]] = {
    NOT_A_DIRECTORY: InvalidArgument,
    EXECUTABLE_NOT_FOUND: NotFound,
    UNKNOWN_USER: NotFound,
    UNKNOWN_GROUP: NotFound,
    WRONG_NAMESPACE_TYPE: InvalidArgument,
}
# What errors.from_oserror would call our own fault.
_BY_ERRNO: dict[int, type[Error]] = {
    errno.ENOEXEC: InvalidArgument,
    errno.EISDIR: InvalidArgument,
    errno.ELOOP: InvalidArgument,
    errno.E2BIG: InvalidArgument,
    errno.ERANGE: InvalidArgument,
    errno.EFBIG: InvalidArgument,
    errno.ESRCH: FailedPrecondition,
    errno.ECANCELED: FailedPrecondition,
    errno.ETIMEDOUT: FailedPrecondition,
    errno.EROFS: FailedPrecondition,
    errno.ENOMEM: Unavailable,
    errno.EAGAIN: Unavailable,
    errno.EMFILE: Unavailable,
    errno.ENFILE: Unavailable,
}
_MADE: dict[type[Error], type[OpFailed]] = {}


def _of_kind(kind: type[Error]) -> type[OpFailed]:
    """OpFailed that is a ``kind``, too."""
    made = _MADE.get(kind)
    if made is None:
        made = _MADE[kind] = type("OpFailed", (OpFailed, kind), {"__doc__": OpFailed.__doc__})
    return made


def _plain(op: Any, _report: Report, reason: str) -> str:
    return f"{op.describe()}: {reason}"


def _saying(text: str) -> Callable[[Any, Report, str], str]:
    """A message of the description and of ``text``, which may hold ``{op.field}``, ``{value}``, ``{reason}``."""

    def compose(op: Any, report: Report, reason: str) -> str:
        return f"{op.describe()}: {text.format(op=op, value=report.value, reason=reason)}"

    return compose


def _hook(op: Any, report: Report, reason: str) -> str:
    if report.detail == HOOK_TIMEOUT:
        why = f"timed out after {report.value} ms and was killed"
    elif report.detail == HOOK_STATUS:
        status = os.waitstatus_to_exitcode(report.value)
        why = f"exit status {status}" if status >= 0 else killed_by(-status)
    else:
        why = f"{op.path}: {reason}"
    return f"error running {ops.HOOK_KINDS[op.kind]} hook #{op.index}: {why}"


def _option(op: Any, report: Report, reason: str) -> str:
    if 0 <= report.value < len(op.options):
        return f'{op.describe()}: option "{op.options[report.value]}": {reason}'
    return _plain(op, report, reason)


def _listed(field: str) -> Callable[[Any, Report, str], str]:
    """About one member of the list in ``field``, the one that the value counts."""

    def compose(op: Any, report: Report, reason: str) -> str:
        items = getattr(op, field, None) or ()
        which = f"{items[report.value]}: " if isinstance(items, tuple) and 0 <= report.value < len(items) else ""
        return f"{op.describe()}: {which}{reason}"

    return compose


def _namespace(op: Any, report: Report, _reason: str) -> str:
    return f"{op.describe()}: {op.paths[report.value]} is not a namespace of that type"


def _user(op: Any, _report: Report, _reason: str) -> str:
    return f"unable to find user {op.user.partition(':')[0]}: no matching entries in passwd file"


def _group(op: Any, _report: Report, _reason: str) -> str:
    group = op.user.partition(":")[2] or op.user
    return f"unable to find group {group}: no matching entries in group file"


def _label(op: Any, report: Report, reason: str) -> str:
    # podman looks for the path, to say what may be wrong
    return f"{op.describe()}: write /proc/thread-self/attr/{op.files[report.value]}: {reason}"


def _unmappable(op: Any, report: Report, reason: str) -> str:
    if report.errno == errno.EINVAL:
        reason = f"the file system of {op.source} can't be id-mapped (mount_setattr(2) has a list of those that can)"
    return f"{op.describe()}: {reason}"


_BY_DETAIL: dict[int, Callable[[Any, Report, str], str]] = {
    NOT_A_DIRECTORY: _saying("{op.target} must be mounted on ordinary directory"),
    NOT_THAT_DEVICE: _saying("something else is there already"),
    HOOK_STATUS: _hook,
    HOOK_TIMEOUT: _hook,
    HOOK_START: _hook,
    EXECUTABLE_NOT_FOUND: lambda op, _report, _reason: f'exec: "{op.file}": executable file not found in $PATH',
    NOT_PROCFS: _saying("/proc is not a whole procfs"),
    NOT_DEVPTS: _saying("/dev/pts is not a devpts: mount one there"),
    WRONG_NAMESPACE_TYPE: _namespace,
    OUTSIDE_ROOT: _saying("the working directory is outside of the container's root"),
    UNKNOWN_USER: _user,
    UNKNOWN_GROUP: _group,
    NOT_NULL_DEVICE: _saying("/dev/null of the host is not the null device"),
    FSCONFIG: _option,
    OPEN_CGROUP: _listed("directories"),
    NO_REPLY: _saying("the parent gave no proper reply"),
    ID_MAP: _saying("making a user namespace of its id maps: {reason}"),
    SET_ID_MAP: _unmappable,
    TIME_OFFSETS: _saying("setting its clocks: {reason}"),
    FIND_DEVICE: _saying("the host has none of that name in this network namespace: {reason}"),
    ADD_ADDRESS: _saying("giving it its addresses back: {reason}"),
    DEVICE_UP: _saying("setting it up: {reason}"),
}


def _line_of_cgroup(op: Any, report: Report, reason: str) -> str:
    return f"write {op.lines[report.value]} in cgroup {op.directory}: {reason}"


def _identity(plan: Plan, op: ops.SetIdentity) -> str:
    """Who that is the container's files may have said, in its own user namespace."""
    asked = next((each.user for each in plan.ops if isinstance(each, ops.FindUser)), f"{op.uid}:{op.gid}")
    groups = f" with groups {','.join(map(str, op.groups))}" if op.groups else ""
    return f"become user {asked}{groups}: the user namespace has no such id (an ordinary user's: see /etc/subuid)"


_BY_OP: dict[type[ops.Op], Callable[[Any, Report, str], str]] = {
    ops.JoinNamespaces: _listed("paths"),
    ops.WriteCgroup: _line_of_cgroup,
    ops.Label: _label,
    ops.FindExecutable: lambda op, _report, reason: f'exec: "{op.file}": {reason}',
    ops.Exec: lambda op, _report, reason: f"exec {op.args[0]}: {reason}",
}

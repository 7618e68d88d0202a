"""The running kernel takes our programs and does what they say."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
from collections.abc import Callable

import pytest

from utsuwa.seccomp.compile import compile
from utsuwa.seccomp.profile import default_profile
from utsuwa.seccomp.program import Program
from utsuwa.spec.runtime import Seccomp, SyscallRule

pytestmark = pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="no system call table")

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_UNKNOWN_CALL = 999


def _install(program: Program) -> None:
    filter = ctypes.create_string_buffer(program.filter, len(program.filter))
    header = struct.pack("HxxxxxxP", len(program.filter) // 8, ctypes.addressof(filter))
    assert _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    number = _SECCOMP[platform.machine()]
    if _libc.syscall(number, 1, program.flags, ctypes.create_string_buffer(header, len(header))) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def under(program: Program, act: Callable[[], int]) -> int:
    """The errno (0: none) that ``act`` ends with in a child under the filter."""
    child = os.fork()
    if child == 0:
        code = 255
        try:
            _install(program)
            code = act()
        except OSError as error:
            code = error.errno or 254
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def ok(act: Callable[[], object]) -> Callable[[], int]:
    def run() -> int:
        act()
        return 0

    return run


def raw(*arguments: int) -> Callable[[], int]:
    return lambda: 0 if _libc.syscall(*arguments) >= 0 else ctypes.get_errno()


def test_the_errno_of_a_rule_is_returned() -> None:
    rule = SyscallRule(names=("mkdir", "mkdirat"), action="SCMP_ACT_ERRNO", errnoRet=errno.ENETDOWN)
    program = compile(Seccomp(defaultAction="SCMP_ACT_ALLOW", syscalls=(rule,)))
    assert under(program, ok(lambda: os.mkdir("/proc/never"))) == errno.ENETDOWN
    assert under(program, ok(os.getcwd)) == 0


def test_a_kill_ends_the_process() -> None:
    rule = SyscallRule(names=("mkdir", "mkdirat"), action="SCMP_ACT_KILL_PROCESS")
    program = compile(Seccomp(defaultAction="SCMP_ACT_ALLOW", syscalls=(rule,), flags=()))
    assert under(program, ok(lambda: os.mkdir("/proc/never"))) == -31, "SIGSYS"


def test_the_default_profile_at_work() -> None:
    program = compile(default_profile(()))
    assert under(program, ok(os.getpid)) == 0
    assert under(program, ok(lambda: socket.socket(socket.AF_UNIX).close())) == 0
    assert under(program, ok(lambda: socket.socket(40, socket.SOCK_STREAM))) == errno.EPERM, "AF_VSOCK"
    assert under(program, ok(lambda: socket.socket(38, socket.SOCK_SEQPACKET))) == errno.EPERM, "AF_ALG"
    assert under(program, ok(lambda: os.waitpid(os.fork() or os._exit(0), 0))) == 0
    assert under(program, raw(435, 0, 0)) == errno.ENOSYS, "clone3"
    assert under(program, raw(425, 1, 0)) == errno.EPERM, "io_uring_setup"
    assert under(program, raw(_UNKNOWN_CALL)) == errno.ENOSYS
    assert under(program, raw({"x86_64": 272, "aarch64": 97}[platform.machine()], 0x10000000)) == errno.EPERM, "unshare"


@pytest.mark.parametrize("flags", [None, (), ("SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC")])
def test_the_kernel_takes_the_flags(flags: tuple[str, ...] | None) -> None:
    assert under(compile(default_profile(()).replace(flags=flags)), ok(os.getpid)) == 0

"""Compiled filters kept between starts, by the hash of what they were compiled from.

Importing the compiler and compiling the default profile for three architectures takes a fresh process 2 ms, finding
it here about 0.3 ms.  Whoever can write an entry decides what a container may do: the directory belongs to the caller
alone, which is checked on every use, and each entry carries the hash of its content, which finds torn writes too.
"""

from __future__ import annotations

import os
from _blake2 import blake2b
from marshal import dumps
from stat import S_ISREG

from utsuwa.errors import PermissionDenied
from utsuwa.seccomp.program import VERSION, Program, native_architecture

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.spec.runtime import Seccomp

_MOST_ENTRIES = 64
_DIGEST_SIZE = 32
_HEADER_SIZE = _DIGEST_SIZE + 8
_LARGEST = _HEADER_SIZE + 4096 * 8


def compiled(seccomp: Seccomp, directory: str, native_arch: str = "") -> Program:
    """What ``compile(seccomp, native_arch)`` returns, taken from ``directory`` where it is there, else left there.

    The directory is made with mode 0700 when it is missing (its parent must exist); PermissionDenied when it isn't the
    caller's alone.  A directory that can't be written costs nothing but the time to compile.
    """
    native = native_arch or native_architecture()
    name = key(seccomp, native)
    try:
        handle = _open(directory)
    except OSError:  # read-only, or no parent: the cache saves time, it is not needed
        return _compile(seccomp, native)
    try:
        program = _read(handle, name)
        if program is None:
            program = _compile(seccomp, native)
            _write(handle, name, program)
        return program
    finally:
        os.close(handle)


def key(seccomp: Seccomp, native_arch: str) -> str:
    """The name of the entry: a hash of everything that the compiler looks at, and of its version."""
    rules = [
        (
            rule.names,
            rule.action,
            rule.errnoRet,
            [(argument.index, argument.op, argument.value, argument.valueTwo) for argument in rule.args or ()],
        )
        for rule in seccomp.syscalls or ()
    ]
    source = (
        *(VERSION, native_arch, seccomp.defaultAction, seccomp.defaultErrnoRet),
        *(seccomp.architectures, seccomp.flags, rules),
    )
    # Version 2 of the format has no references between objects, which would make equal profiles differ.
    return blake2b(dumps(source, 2), digest_size=_DIGEST_SIZE).hexdigest()


def _compile(seccomp: Seccomp, native: str) -> Program:
    from utsuwa.seccomp.compile import compile  # 0.7 ms that a hit doesn't pay

    return compile(seccomp, native)


def _open(directory: str) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        handle = os.open(directory, flags)
    except FileNotFoundError:
        try:
            os.mkdir(directory, 0o700)
        except FileExistsError:
            pass
        handle = os.open(directory, flags)
    status = os.fstat(handle)
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        os.close(handle)
        raise PermissionDenied(f"{directory}: others could write filters here: make it yours alone (mode 0700)")
    return handle


def _read(directory: int, name: str) -> Program | None:
    """The entry, None where it is missing or not what was written."""
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return None
    try:
        status = os.fstat(handle)
        if not S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_size > _LARGEST:
            return None
        data = os.read(handle, _LARGEST)
    finally:
        os.close(handle)
    body = data[_DIGEST_SIZE:]
    if len(data) <= _HEADER_SIZE or len(data) % 8 or data[:_DIGEST_SIZE] != _digest(name, body):
        return None
    return Program(body[8:], int.from_bytes(body[:8], "little"))


def _write(directory: int, name: str, program: Program) -> None:
    body = program.flags.to_bytes(8, "little") + program.filter
    temporary = f"{name}.{os.getpid()}"
    try:
        entries = os.listdir(directory)
        if len(entries) >= _MOST_ENTRIES:  # profiles rarely change; starting over is simpler than keeping ages
            for entry in entries:
                os.unlink(entry, dir_fd=directory)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(temporary, flags, 0o600, dir_fd=directory)
    except OSError:
        return  # full, read-only, or another process at the same entry
    try:
        os.write(handle, _digest(name, body) + body)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        os.unlink(temporary, dir_fd=directory)
    finally:
        os.close(handle)


def _digest(name: str, body: bytes) -> bytes:
    """Binds the content to the name, so that an entry can't be passed off as another."""
    return blake2b(name.encode() + body, digest_size=_DIGEST_SIZE).digest()

"""System calls that Python's os has not: openat2(2) and the mount API. ctypes costs 8 ms, so nothing imports this that
does not need it at once.
"""

from __future__ import annotations

import ctypes
import errno
import os

OPENAT2, OPEN_TREE = 437, 428  # the same on every architecture since Linux 5.1
_FSOPEN, _FSCONFIG, _FSMOUNT, _MOVE_MOUNT = 430, 431, 432, 429
NO_SYMLINKS, BENEATH, IN_ROOT = 0x04, 0x08, 0x10
"""RESOLVE_* of openat2(2)."""
OPEN_TREE_CLONE, AT_RECURSIVE, AT_EMPTY_PATH = 1, 0x8000, 0x1000
CLONE_NEWNS = 0x20000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
_SET_FLAG, _SET_STRING, _CREATE = 0, 1, 6
_MOVE_FROM_EMPTY = 4
_TRIES = 64
"""openat2(2) gives up with EAGAIN when somebody renames directories on the way; so often it is asked again."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _How(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def openat2(directory: int, path: bytes, flags: int, resolve: int) -> int:
    """Open ``path`` beneath the open ``directory``, as ``resolve`` says; no magic link is followed. Raises OSError."""
    how = _How(flags | os.O_CLOEXEC, 0, resolve | 0x02)
    for _ in range(_TRIES):
        fd = _libc.syscall(OPENAT2, directory, path or b".", ctypes.byref(how), ctypes.sizeof(how))
        if fd >= 0:
            return int(fd)
        if ctypes.get_errno() != errno.EAGAIN:
            break
    raise _failure(path)


def unshare_mounts() -> None:
    """Give the calling thread a mount namespace of its own, whose mounts nobody else sees."""
    _check(_libc.unshare(CLONE_NEWNS), b"unshare")
    mount(b"none", b"/", b"", MS_REC | MS_PRIVATE)


def mount(source: bytes, target: bytes, kind: bytes, flags: int, data: bytes = b"") -> None:
    """mount(2)."""
    _check(_libc.mount(source, target, kind or None, ctypes.c_ulong(flags), data or None), target)


def unmount(target: bytes) -> None:
    """Take a mount away with all that is on it, whoever uses it."""
    _check(_libc.umount2(target, MNT_DETACH), target)


def clone_tree(path: bytes) -> int:
    """A descriptor of a copy of the mounts at ``path``, that are attached nowhere and go when it is closed."""
    flags = OPEN_TREE_CLONE | AT_RECURSIVE | os.O_CLOEXEC
    return _check(_libc.syscall(OPEN_TREE, -100, path, flags), path)


def mount_overlay(target: bytes, lower: list[bytes], options: list[tuple[bytes, bytes]]) -> bool:
    """Mount an overlay layer by layer; an option without a value is a flag. Raises OSError.

    False where it has to be said in one text: by kernels before 6.8, and for paths of more than 255 bytes.
    """
    fs = _check(_libc.syscall(_FSOPEN, b"overlay", 1), target)
    try:
        for key, value in [*((b"lowerdir+", layer) for layer in lower), *options]:
            command = _SET_STRING if value else _SET_FLAG
            if _libc.syscall(_FSCONFIG, fs, command, key, value or None, 0) < 0:
                return False
        _check(_libc.syscall(_FSCONFIG, fs, _CREATE, None, None, 0), target)
        tree = _check(_libc.syscall(_FSMOUNT, fs, 1, 0), target)
    finally:
        os.close(fs)
    try:
        _check(_libc.syscall(_MOVE_MOUNT, tree, b"", -100, target, _MOVE_FROM_EMPTY), target)
    finally:
        os.close(tree)
    return True


def _check(result: int, where: bytes) -> int:
    if result < 0:
        raise _failure(where)
    return int(result)


def _failure(where: bytes) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), os.fsdecode(where))

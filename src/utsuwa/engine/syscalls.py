"""System calls that the C library has no function for: openat2(2) and the mount API."""

from __future__ import annotations

import errno
import os
from struct import pack

from utsuwa.linux.libc import call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.linux.libc import Argument

OPENAT2, OPEN_TREE = 437, 428  # the same on every architecture since Linux 5.1
_FSOPEN, _FSCONFIG, _FSMOUNT, _MOVE_MOUNT = 430, 431, 432, 429
NO_SYMLINKS, BENEATH, IN_ROOT = 0x04, 0x08, 0x10
"""RESOLVE_* of openat2(2)."""
_NO_MAGICLINKS = 0x02
_AT_FDCWD = -100
OPEN_TREE_CLONE, AT_RECURSIVE, AT_EMPTY_PATH = 1, 0x8000, 0x1000
CLONE_NEWNS = 0x20000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
_SET_FLAG, _SET_STRING, _CREATE = 0, 1, 6
_MOVE_FROM_EMPTY = 4
_TRIES = 64
"""openat2(2) gives up with EAGAIN when somebody renames directories on the way; so often it is asked again."""


def openat2(directory: int, path: bytes, flags: int, resolve: int) -> int:
    """Open ``path`` beneath the open ``directory``, as ``resolve`` says; no magic link is followed. Raises OSError."""
    how = pack("QQQ", flags | os.O_CLOEXEC, 0, resolve | _NO_MAGICLINKS)
    tries = _TRIES
    while True:
        try:
            return call("syscall", OPENAT2, directory, path or b".", how, len(how))
        except OSError as error:
            tries -= 1
            if error.errno != errno.EAGAIN or not tries:
                raise _told_of(error, path) from None


def unshare_mounts() -> None:
    """Give the calling thread a mount namespace of its own, whose mounts nobody else sees."""
    call("unshare", CLONE_NEWNS)
    mount(b"none", b"/", b"", MS_REC | MS_PRIVATE)


def mount(source: bytes, target: bytes, kind: bytes, flags: int, data: bytes = b"") -> None:
    """mount(2)."""
    _call(target, "mount", source, target, kind or None, flags, data or None)


def unmount(target: bytes) -> None:
    """Take a mount away with all that is on it, whoever uses it."""
    _call(target, "umount2", target, MNT_DETACH)


def clone_tree(path: bytes) -> int:
    """A descriptor of a copy of the mounts at ``path``, that are attached nowhere and go when it is closed."""
    flags = OPEN_TREE_CLONE | AT_RECURSIVE | os.O_CLOEXEC
    return _call(path, "syscall", OPEN_TREE, _AT_FDCWD, path, flags)


def mount_overlay(target: bytes, lower: list[bytes], options: list[tuple[bytes, bytes]]) -> bool:
    """Mount an overlay layer by layer; an option without a value is a flag. Raises OSError.

    False where it has to be said in one text: by kernels before 6.8, and for paths of more than 255 bytes.
    """
    fs = _call(target, "syscall", _FSOPEN, b"overlay", 1)
    try:
        for key, value in [*((b"lowerdir+", layer) for layer in lower), *options]:
            command = _SET_STRING if value else _SET_FLAG
            try:
                call("syscall", _FSCONFIG, fs, command, key, value or None, 0)
            except OSError:
                return False
        _call(target, "syscall", _FSCONFIG, fs, _CREATE, None, None, 0)
        tree = _call(target, "syscall", _FSMOUNT, fs, 1, 0)
    finally:
        os.close(fs)
    try:
        _call(target, "syscall", _MOVE_MOUNT, tree, b"", _AT_FDCWD, target, _MOVE_FROM_EMPTY)
    finally:
        os.close(tree)
    return True


def _call(where: bytes, name: str, *arguments: Argument) -> int:
    try:
        return call(name, *arguments)
    except OSError as error:
        raise _told_of(error, where) from None


def _told_of(error: OSError, where: bytes) -> OSError:
    return OSError(error.errno, error.strerror, os.fsdecode(where))

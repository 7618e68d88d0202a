"""mount(2), unshare(2) and setns(2) for a process of our own that ends soon; containers are made by utsuwa-init."""

from __future__ import annotations

import _ctypes
import os
from errno import E2BIG

CLONE_NEWNS = 0x00020000
MS_RDONLY, MS_BIND, MS_REC, MS_SLAVE = 1, 0x1000, 0x4000, 0x80000
_PAGE = 4000
"""Bytes of options that surely fit into the page that mount(2) takes."""


class _Int(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "i"


class _Function(_ctypes.CFuncPtr):
    """A function of libc that sets errno. The package around _ctypes costs 2.5 ms to import."""

    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = _Int


def leave_mounts() -> None:
    """Have a mount namespace of our own from here on, which takes mounts over from the host and gives none back."""
    _call("unshare", CLONE_NEWNS)
    mount("", "/", "", MS_SLAVE | MS_REC)


def unshare(flags: int) -> None:
    """unshare(2). Raises OSError."""
    _call("unshare", flags)


def setns(fd: int, kind: int) -> None:
    """setns(2). Raises OSError."""
    _call("setns", fd, kind)


def prctl(option: int, value: int) -> None:
    """prctl(2). Raises OSError."""
    _call("prctl", option, value, 0, 0, 0)


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """mount(2). Raises OSError; E2BIG when ``data`` is more than the page that the kernel takes."""
    if len(os.fsencode(data)) > _PAGE:
        raise OSError(E2BIG, "too many layers for mount(2)", target)
    _call("mount", os.fsencode(source), os.fsencode(target), os.fsencode(kind), flags, os.fsencode(data))


def _call(name: str, *arguments: object) -> None:
    function = _Function(_ctypes.dlsym(_ctypes.dlopen(None, 0), name))  # type: ignore[arg-type]
    if function(*arguments) != 0:
        number = _ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)

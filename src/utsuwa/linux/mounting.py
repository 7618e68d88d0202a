"""mount(2), unshare(2) and setns(2) for a process of our own that ends soon; containers are made by utsuwa-init."""

from __future__ import annotations

import os
from errno import E2BIG

from utsuwa.linux.libc import call

CLONE_NEWNS = 0x00020000
MS_RDONLY, MS_BIND, MS_REC, MS_SLAVE = 1, 0x1000, 0x4000, 0x80000
_PAGE = 4000
"""Bytes of options that surely fit into the page that mount(2) takes."""


def leave_mounts() -> None:
    """Have a mount namespace of our own from here on, which takes mounts over from the host and gives none back."""
    call("unshare", CLONE_NEWNS)
    mount("", "/", "", MS_SLAVE | MS_REC)


def unshare(flags: int) -> None:
    """unshare(2). Raises OSError."""
    call("unshare", flags)


def setns(fd: int, kind: int) -> None:
    """setns(2). Raises OSError."""
    call("setns", fd, kind)


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """mount(2). Raises OSError; E2BIG when ``data`` is more than the page that the kernel takes."""
    if len(os.fsencode(data)) > _PAGE:
        raise OSError(E2BIG, "too many layers for mount(2)", target)
    call("mount", os.fsencode(source), os.fsencode(target), os.fsencode(kind), flags, os.fsencode(data))

"""Which of the security modules that containers are labelled for this kernel enforces."""

from __future__ import annotations

import os


def enabled() -> tuple[str, ...]:
    """ "apparmor" and "selinux", if they are at work; read only for containers that have a label."""
    found = []
    if _read("/sys/module/apparmor/parameters/enabled") == b"Y":
        found.append("apparmor")
    # Built in and without a policy, everything is called "kernel" (is_selinux_enabled(3)).
    if os.path.exists("/sys/fs/selinux/enforce") and _read("/proc/thread-self/attr/current") != b"kernel":
        found.append("selinux")
    return tuple(found)


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 4096).rstrip(b"\0\n")
    except OSError:  # EINVAL: no module answers
        return b""
    finally:
        os.close(descriptor)

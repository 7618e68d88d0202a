"""What the compiler gives and the cache keeps, apart from both: on a hit the compiler isn't even imported."""

from __future__ import annotations

from os import uname

from utsuwa.errors import Unsupported

VERSION = 1
"""Counts up with every change of what the compiler puts out; part of the key of the cache."""

_MACHINES = {
    "x86_64": "SCMP_ARCH_X86_64",
    "aarch64": "SCMP_ARCH_AARCH64",
    "i386": "SCMP_ARCH_X86",
    "i686": "SCMP_ARCH_X86",
    "armv7l": "SCMP_ARCH_ARM",
    "armv8l": "SCMP_ARCH_ARM",
}


class Program:
    """A compiled filter.

    ``filter`` is struct sock_filter[], ``flags`` are SECCOMP_FILTER_FLAG_* of seccomp(2).
    """

    __slots__ = ("filter", "flags")

    def __init__(self, filter: bytes, flags: int) -> None:
        self.filter = filter
        self.flags = flags

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Program):
            return NotImplemented
        return self.filter == other.filter and self.flags == other.flags

    def __hash__(self) -> int:
        return hash((self.filter, self.flags))

    def __repr__(self) -> str:
        return f"Program({len(self.filter) // 8} instructions, flags={self.flags:#x})"


def native_architecture() -> str:
    """The OCI name of this machine's architecture; Unsupported where system call tables are missing."""
    machine = uname().machine
    try:
        return _MACHINES[machine]
    except KeyError:
        raise Unsupported(f"linux.seccomp: no system call table for the machine {machine}") from None

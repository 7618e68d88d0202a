"""Capability names and numbers (capabilities(7), linux/capability.h) and masks of them."""

from __future__ import annotations

NAMES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)
"""By number: ``NAMES[27] == "CAP_MKNOD"``."""

NUMBERS = {name: number for number, name in enumerate(NAMES)}

SYS_ADMIN = 1 << NUMBERS["CAP_SYS_ADMIN"]
SYS_RESOURCE = 1 << NUMBERS["CAP_SYS_RESOURCE"]
ALL = (1 << len(NAMES)) - 1


def mask(names: tuple[str, ...] | None) -> tuple[int, tuple[str, ...]]:
    """The bits of capability names, and those names that are not known (the caller warns of them)."""
    bits = 0
    unknown = []
    for name in names or ():
        number = NUMBERS.get(name)
        if number is None:
            unknown.append(name)
        else:
            bits |= 1 << number
    return bits, tuple(unknown)


def names(bits: int) -> tuple[str, ...]:
    """Names of the set bits in order of their numbers; one this table does not know yet is called CAP_41."""
    return tuple(
        NAMES[number] if number < len(NAMES) else f"CAP_{number}"
        for number in range(bits.bit_length())
        if bits >> number & 1
    )

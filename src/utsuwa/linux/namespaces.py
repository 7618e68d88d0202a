"""Kinds of namespaces: the CLONE_NEW* bits of clone(2) and setns(2), and their names in /proc and in config.json."""

from __future__ import annotations

CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

KINDS = {
    "pid": CLONE_NEWPID,
    "network": CLONE_NEWNET,
    "mount": CLONE_NEWNS,
    "ipc": CLONE_NEWIPC,
    "uts": CLONE_NEWUTS,
    "user": CLONE_NEWUSER,
    "cgroup": CLONE_NEWCGROUP,
    "time": CLONE_NEWTIME,
}
"""config-linux.md#namespaces: type -> bit."""

PROC_NAMES = {
    "pid": "pid",
    "network": "net",
    "mount": "mnt",
    "ipc": "ipc",
    "uts": "uts",
    "user": "user",
    "cgroup": "cgroup",
    "time": "time",
}
"""type -> its file in /proc/PID/ns (namespaces(7))."""


def name(kind: int) -> str:
    """The config.json name of one CLONE_NEW* bit."""
    for known, bit in KINDS.items():
        if bit == kind:
            return known
    return f"0x{kind:x}"


def names(flags: int) -> str:
    """``pid, network and mount`` for a set of bits."""
    found = [known for known, bit in KINDS.items() if flags & bit]
    return " and ".join([", ".join(found[:-1]), found[-1]]) if len(found) > 1 else "".join(found)

"""NUMA memory policies of set_mempolicy(2): the names of config.json and their numbers (<linux/mempolicy.h>)."""

from __future__ import annotations

MODES = {
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,  # Linux 5.15
    "MPOL_WEIGHTED_INTERLEAVE": 6,  # Linux 6.9
}
FLAGS = {
    "MPOL_F_STATIC_NODES": 1 << 15,
    "MPOL_F_RELATIVE_NODES": 1 << 14,
    "MPOL_F_NUMA_BALANCING": 1 << 13,  # Linux 5.15, with MPOL_BIND
}
ALL_FLAGS = 7 << 13

WITHOUT_NODES = ("MPOL_DEFAULT", "MPOL_LOCAL")
"""Modes that take no nodes; MPOL_PREFERRED takes any number of them, and all others at least one."""

NODES_LIMIT = 1024
"""MAX_NUMNODES of the largest kernels (CONFIG_NODES_SHIFT)."""


def nodes(text: str) -> set[int]:
    """The numbers of a list as ``0-3,7`` (cpuset(7)). Raises ValueError for anything else, or too large."""
    found: set[int] = set()
    for item in text.split(",") if text.strip() else ():
        low, dash, high = item.strip().partition("-")
        numbers = (low, high if dash else low)
        if not all(each.isascii() and each.isdigit() and len(each) < 10 for each in numbers):
            raise ValueError(item)
        first, last = map(int, numbers)
        if first > last or last >= NODES_LIMIT:
            raise ValueError(item)
        found.update(range(first, last + 1))
    return found


def mask(numbers: set[int]) -> bytes:
    """A node mask of whole 64-bit words, lowest node first; empty for no nodes."""
    if not numbers:
        return b""
    return sum(1 << number for number in numbers).to_bytes((max(numbers) // 64 + 1) * 8, "little")

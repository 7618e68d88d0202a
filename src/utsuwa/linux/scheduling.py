"""Numbers of sched_setattr(2), ioprio_set(2) and personality(2), and lists of processors."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument

POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}
IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
DOMAINS = {"LINUX": 0x0000, "LINUX32": 0x0008}

_LAST_CPU = 8191  # CONFIG_NR_CPUS has no larger one
ALL_CPUS = b"\xff" * ((_LAST_CPU + 1) // 8)
"""Every processor: the kernel leaves out those that are not there or not in the cgroup (sched_setaffinity(2))."""


def cpu_mask(text: str) -> bytes:
    """The mask of a list of processors like ``0-3,7``. Raises InvalidArgument."""
    mask = 0
    for part in text.replace(" ", "").split(","):
        low, dash, high = part.partition("-")
        numbers = [low, *([high] if dash else [])]
        if not all(each.isascii() and each.isdigit() and len(each) < 5 for each in numbers):
            raise InvalidArgument(f'"{text}" is no list of processors: write it as 0-3,7')
        first, last = int(low), int(high if dash else low)
        if first > last or last > _LAST_CPU:
            raise InvalidArgument(f'"{text}" is no list of processors from 0 to {_LAST_CPU}')
        mask |= (1 << last + 1) - (1 << first)
    size = (mask.bit_length() + 63) // 64 * 8
    return mask.to_bytes(size, "little")

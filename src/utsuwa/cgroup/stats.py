"""Reading the kernel's counters for ``events --stats``; the shape of the answer is go-runc's ``Stats``.

Counters are unsigned; time is in nanoseconds, sizes in bytes. A value that a kernel or a missing controller can't give
is left out, never guessed; only ``limit`` of pids is 0 where there is none.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.cgroup.directory import Directory

NO_LIMIT = (1 << 64) - 1
"""What the format has for v2's ``max``."""

_PRESSURE = ("avg10", "avg60", "avg300")


def number(text: str | None) -> int | None:
    """A counter; ``max`` is NO_LIMIT; None stays None."""
    if text is None or not text:
        return None
    return NO_LIMIT if text == "max" else int(text)


def flat(text: str | None) -> dict[str, int]:
    """A flat keyed file: ``name value`` lines."""
    pairs = (line.split() for line in (text or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].lstrip("-").isdecimal()}


def known(values: dict[str, Any]) -> dict[str, Any]:
    """``values`` without those that are None."""
    return {name: value for name, value in values.items() if value is not None}


def pressure(cgroup: Directory, key: str) -> dict[str, Any] | None:
    """Pressure stall information (kernel Documentation/accounting/psi.rst): ``some avg10=0.00 … total=0``, µs."""
    text = cgroup.peek(key)
    if not text:
        return None
    found: dict[str, Any] = {}
    for line in text.splitlines():
        name, *pairs = line.split()
        values = dict(pair.split("=", 1) for pair in pairs)
        found[name] = {average: float(values[average]) for average in _PRESSURE if average in values}
        found[name]["total"] = int(values["total"])
    return found


def pids(cgroup: Directory) -> dict[str, int]:
    """``pids``, the same on both versions."""
    limit = cgroup.peek("pids.max")
    return known({"current": number(cgroup.peek("pids.current")), "limit": 0 if limit == "max" else number(limit)})


def numbers(text: str | None) -> list[int]:
    """A list of CPUs or memory nodes: ``0-2,5`` is [0, 1, 2, 5]."""
    found: list[int] = []
    for part in (text or "").split(","):
        first, _, last = part.strip().partition("-")
        if first:
            found.extend(range(int(first), int(last or first) + 1))
    return found


def entry(device: str, operation: str, value: int) -> dict[str, Any]:
    """One value of a block device ``MAJ:MIN``."""
    major, minor = device.split(":")
    return {"major": int(major), "minor": int(minor), "op": operation, "value": value}


def page_sizes(cgroup: Directory, ending: str) -> list[str]:
    """Sizes of huge pages that the cgroup counts, from the names ``hugetlb.SIZE<ending>``."""
    names = (key for key in cgroup.keys() if key.startswith("hugetlb.") and key.endswith(ending))  # noqa: SIM118
    return [size for size in (name[8 : -len(ending)] for name in names) if "." not in size]

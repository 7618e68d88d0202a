"""``linux.resources`` as properties of a unit (systemd.resource-control(5), org.freedesktop.systemd1(5)).

A property is (name, D-Bus signature, value). What systemd has no property for is left out: it is written to the files.
"""

from __future__ import annotations

from utsuwa import errors
from utsuwa.cgroup import devices
from utsuwa.cgroup.resources import cpu_weight, io_weight, swap_max

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.spec.runtime import CPU, Memory, Resources
    from utsuwa.spec.seldom import BlockIO

    Property = tuple[str, str, Any]

INFINITY = (1 << 64) - 1
OPTIONAL = frozenset({"OOMPolicy"})
"""Properties that a systemd may be too old for, and that can be done without."""

_SECOND = 1_000_000
_PERCENT = 10_000  # µs a second: systemd counts a quota in whole percents of a processor
_DEFAULT_PERIOD = 100_000
_BYTES = {
    "memory.min": "MemoryMin",
    "memory.low": "MemoryLow",
    "memory.high": "MemoryHigh",
    "memory.max": "MemoryMax",
    "memory.swap.max": "MemorySwapMax",
    "pids.max": "TasksMax",
}
_THROTTLES = (
    ("throttleReadBpsDevice", "IOReadBandwidthMax"),
    ("throttleWriteBpsDevice", "IOWriteBandwidthMax"),
    ("throttleReadIOPSDevice", "IOReadIOPSMax"),
    ("throttleWriteIOPSDevice", "IOWriteIOPSMax"),
)
_MAX_NUMBER = 1 << 16  # of a processor or memory node: the list becomes a bit mask


def of(resources: Resources, *, unified: bool, quota: tuple[int | None, int | None] = (None, None)) -> list[Property]:
    """The limits, for cgroup v2 (``unified``) or v1. ``quota`` and period in µs hold where ``resources`` has none (-1:
    no quota). InvalidArgument for contradictions, and for values that can't be what the specification means."""
    found: list[Property] = []
    if resources.memory is not None:
        found += _memory(resources.memory, unified)
    if resources.cpu is not None:
        found += _cpu(resources.cpu, unified, quota)
    if resources.pids is not None and resources.pids.limit is not None:
        found.append(("TasksMax", "t", _limit(resources.pids.limit or 1)))
    if resources.blockIO is not None:
        found += _block_io(resources.blockIO, unified)
    for key, value in (resources.unified or {}).items():
        found += _of_file(key, value)
    return list({name: (name, signature, value) for name, signature, value in found}.values())


def _limit(value: int) -> int:
    return INFINITY if value < 0 else value


def _memory(memory: Memory, unified: bool) -> list[Property]:
    found: list[Property] = []
    if memory.limit:
        found.append(("MemoryMax" if unified else "MemoryLimit", "t", _limit(memory.limit)))
    if not unified:
        return found
    if memory.reservation:
        found.append(("MemoryLow", "t", _limit(memory.reservation)))
    swap = swap_max(memory)
    if swap is not None:
        found.append(("MemorySwapMax", "t", INFINITY if swap == "max" else int(swap)))
    return found


def _cpu(cpu: CPU, unified: bool, before: tuple[int | None, int | None]) -> list[Property]:
    found: list[Property] = []
    if cpu.idle == 1 and unified:
        found.append(("CPUWeight", "t", 0))  # systemd 252 makes cpu.idle of it
    elif cpu.shares:
        found.append(("CPUWeight", "t", cpu_weight(cpu.shares)) if unified else ("CPUShares", "t", cpu.shares))
    if cpu.quota or cpu.period:
        found += bandwidth(cpu.quota or before[0], cpu.period or before[1])
    for name, text in (("AllowedCPUs", cpu.cpus), ("AllowedMemoryNodes", cpu.mems)):
        if text and ":" not in text:  # a range with a stride is the files' alone
            found.append((name, "ay", bits(text)))
    return found


def bandwidth(quota: int | None, period: int | None) -> list[Property]:
    """A CPU quota in µs for each period in µs. Rounded up, since systemd rounds down; the files have it exactly."""
    found: list[Property] = []
    if period:
        found.append(("CPUQuotaPeriodUSec", "t", period))
    each_second = INFINITY
    if quota is not None and quota > 0:
        each_second = -(-quota * _SECOND // (period or _DEFAULT_PERIOD) // _PERCENT) * _PERCENT
    found.append(("CPUQuotaPerSecUSec", "t", each_second))
    return found


def bits(text: str) -> bytes:
    """A list of processors or nodes, ``0-3,7``, as a mask, the lowest number in the first byte's lowest bit.

    InvalidArgument when it is no such list.
    """
    mask = 0
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        try:
            low, high = int(first), int(last if dash else first)
        except ValueError:
            low, high = 0, -1
        if not 0 <= low <= high < _MAX_NUMBER:
            raise errors.InvalidArgument(f'linux.resources.cpu: "{text}": expected a list as "0-3,7"')
        mask |= (1 << high + 1) - (1 << low)
    return mask.to_bytes(mask.bit_length() + 7 >> 3, "little")


def _block_io(io: BlockIO, unified: bool) -> list[Property]:
    if not unified:
        return [("BlockIOWeight", "t", io.weight)] if io.weight else []
    found: list[Property] = []
    if io.weight:
        found.append(("IOWeight", "t", io_weight(io.weight)))
    weights = [
        (_block(each.major, each.minor), io_weight(each.weight)) for each in io.weightDevice or () if each.weight
    ]
    if weights:
        found.append(("IODeviceWeight", "a(st)", weights))
    for name, wanted in _THROTTLES:
        rates = [(_block(each.major, each.minor), each.rate or INFINITY) for each in getattr(io, name) or ()]
        if rates:
            found.append((wanted, "a(st)", rates))
    return found


def _block(major: int, minor: int) -> str:
    return f"/dev/block/{major}:{minor}"


def _of_file(key: str, text: str) -> list[Property]:
    """What systemd calls the value ``text`` of the cgroup v2 file ``key``; nothing when it knows no such thing."""
    text = text.strip()
    try:
        if key in _BYTES:
            return [(_BYTES[key], "t", INFINITY if text == "max" else int(text))]
        if key == "memory.oom.group" and text == "1":
            return [("OOMPolicy", "s", "kill")]  # systemd 253; without a word it would set the file back
        if key == "cpu.weight":
            return [("CPUWeight", "t", int(text))]
        if key == "cpu.idle" and text == "1":
            return [("CPUWeight", "t", 0)]
        if key == "cpu.max":
            quota, *period = text.split()
            return bandwidth(-1 if quota == "max" else int(quota), int(period[0]) if period else None)
    except ValueError:
        raise errors.InvalidArgument(f'linux.resources.unified.{key}: "{text}": expected a number or max') from None
    if key in ("cpuset.cpus", "cpuset.mems") and text and ":" not in text:
        return [("AllowedCPUs" if key == "cpuset.cpus" else "AllowedMemoryNodes", "ay", bits(text))]
    return []


# --- devices --------------------------------------------------------------------------------------------------------


def device_policy(access: devices.Access) -> list[Property]:
    """Access to devices, so that systemd does not open what we have closed when it goes over its units again.

    Policy ``auto``, which leaves the devices alone, where all are allowed or a rule is beyond what systemd can say
    (exceptions to "allow", one minor number of every major): our own lists or program hold all the same.
    """
    names = [(_named(*node), mask) for node, mask in sorted(access.exceptions.items())]
    if access.default_allow or any(name is None for name, _ in names):
        return [("DevicePolicy", "s", "auto"), ("DeviceAllow", "a(ss)", [])]
    allowed = [(name, devices.letters(mask)) for name, mask in names]
    return [("DevicePolicy", "s", "strict"), ("DeviceAllow", "a(ss)", allowed)]


def _named(kind: str, major: int, minor: int) -> str | None:
    """A device, all of one major number or all of one kind, as DeviceAllow= has it."""
    group = "char" if kind == "c" else "block"
    if major == devices.ANY:
        return f"{group}-*" if minor == devices.ANY else None
    return f"{group}-{major}" if minor == devices.ANY else f"/dev/{group}/{major}:{minor}"

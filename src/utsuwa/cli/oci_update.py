"""The command line of `urun update`: limits by option, or as JSON in a file."""

from __future__ import annotations

import os

from utsuwa.cli.arguments import quoted
from utsuwa.errors import Error, InvalidArgument, from_oserror
from utsuwa.spec.codec import decode
from utsuwa.spec.runtime import CPU, Memory, Pids, Resources
from utsuwa.spec.seldom import BlockIO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_UNLIMITED = "-1"


def resources(options: dict[str, Any]) -> tuple[Resources, list[str]]:
    """What is asked for, and warnings about what has no effect. Raises InvalidArgument."""
    warnings = [
        f"--{name} has no effect: Linux does not limit the memory of the kernel apart"
        for name in ("kernel-memory", "kernel-memory-tcp")
        if options.get(name)
    ]
    if options.get("resources"):
        return _without_idle_weight(from_file(options["resources"]), warnings), warnings
    given: dict[str, Any] = {}
    for option, (section, name, read) in _LIMITS.items():
        text = options.get(option)
        if text:
            given.setdefault(section, {})[name] = read(option, text)
    made = {section: _RECORDS[section](**values) for section, values in given.items()}
    return _without_idle_weight(Resources(**made), warnings), warnings


def _without_idle_weight(wanted: Resources, warnings: list[str]) -> Resources:
    """An idle cgroup has no weight: the kernel refuses one, systemd calls idle a weight of 0. Idle wins."""
    files = wanted.unified or {}
    if files.get("cpu.idle", "").strip() == "1" and "cpu.weight" in files:
        warnings.append("unable to apply both cpu.weight and cpu.idle, ignoring cpu.weight")
        wanted = wanted.replace(unified={key: value for key, value in files.items() if key != "cpu.weight"})
    if wanted.cpu is not None and wanted.cpu.idle == 1 and wanted.cpu.shares:
        warnings.append("unable to apply both CPU shares and cpu.idle, ignoring CPU shares")
        wanted = wanted.replace(cpu=wanted.cpu.replace(shares=None))
    return wanted


def schemata(options: dict[str, Any]) -> tuple[str, ...]:
    """Lines for the container's class of service. Raises InvalidArgument."""
    if not options.get("l3-cache-schema") and not options.get("mem-bw-schema"):
        return ()
    from utsuwa.spec import validate_seldom
    from utsuwa.spec.seldom import IntelRdt

    wanted = IntelRdt(l3CacheSchema=options.get("l3-cache-schema"), memBwSchema=options.get("mem-bw-schema"))
    validate_seldom.check_intel_rdt(wanted)
    return validate_seldom.schemata(wanted)


def from_file(path: str) -> Resources:
    """The limits in a file of JSON, ``-`` for standard input."""
    try:
        data = _read(0 if path == "-" else os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise from_oserror(error, f"open {path}") from error
    try:
        found: Resources = decode(Resources, data)
    except Error as error:
        raise error.within(path) from error
    return found


def _read(descriptor: int) -> bytes:
    data = b""
    while chunk := os.read(descriptor, 65536):
        data += chunk
    return data


def _bytes(option: str, text: str) -> int:
    """A number of bytes as Docker reads it: ``67108864``, ``64M``, ``64mb``, ``1.5GiB``; -1 is unlimited."""
    if text == _UNLIMITED:
        return -1
    number = text.rstrip("bBiIkKmMgGtTpP ")
    unit = text[len(number) :].strip().lower()
    factor = _UNITS.get(unit.removesuffix("b").removesuffix("i"))
    digits = number.replace(".", "", 1)
    if factor is None or not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        raise InvalidArgument(f"invalid value {quoted(text)} for --{option}: use bytes, or a size as 64M")
    return int(float(number) * factor) if "." in number else int(number) * factor


def _whole(option: str, text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        raise InvalidArgument(f"invalid value {quoted(text)} for --{option}: use a number")
    return int(text)


def _natural(option: str, text: str) -> int:
    number = _whole(option, text)
    if number < 0:
        raise InvalidArgument(f"invalid value {quoted(text)} for --{option}: use a number from 0")
    return number


def _text(_option: str, text: str) -> str:
    return text


_RECORDS: dict[str, Callable[..., Any]] = {"memory": Memory, "cpu": CPU, "pids": Pids, "blockIO": BlockIO}
_LIMITS: dict[str, tuple[str, str, Callable[[str, str], Any]]] = {
    "blkio-weight": ("blockIO", "weight", _natural),
    "cpu-period": ("cpu", "period", _natural),
    "cpu-quota": ("cpu", "quota", _whole),
    "cpu-burst": ("cpu", "burst", _natural),
    "cpu-share": ("cpu", "shares", _natural),
    "cpu-rt-period": ("cpu", "realtimePeriod", _natural),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime", _whole),
    "cpuset-cpus": ("cpu", "cpus", _text),
    "cpuset-mems": ("cpu", "mems", _text),
    "cpu-idle": ("cpu", "idle", _whole),
    "memory": ("memory", "limit", _bytes),
    "memory-reservation": ("memory", "reservation", _bytes),
    "memory-swap": ("memory", "swap", _bytes),
    "pids-limit": ("pids", "limit", _whole),
}

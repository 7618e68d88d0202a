"""Values of options that few containers have: devices, their limits, namespaces, kernel settings; parsed."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument, Unsupported
from utsuwa.spec.flags import parse_bytes, parse_integer
from utsuwa.spec.request import DeviceNode, DeviceValue
from utsuwa.spec.runtime import DeviceRule

_SYSCTLS = (
    *("kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax"),
    *("kernel.shmmni", "kernel.shm_rmid_forced"),
)
_MODES = {
    "ipc": ("none", "private", "shareable", "host"),
    "pid": ("host",),
    "uts": ("host",),
    "cgroupns": ("host", "private"),
}
_JOINABLE = ("ipc", "pid")
_RATE = 1 << 63


def parse_device(text: str) -> DeviceNode:
    """``HOST[:CONTAINER][:rwm]`` of ``--device``. Raises Unsupported for the name of a CDI device."""
    parts = text.split(":")
    source = parts[0]
    if source[:1] != "/":
        kind, slash, name = source.partition("/")
        if slash and "=" in name and kind:
            raise Unsupported(f"unsupported: the CDI device {text} (name the device files with --device)")
        raise InvalidArgument(f"device {text!r}: expected an absolute path of the host, found {source!r}")
    target, access = source, "rwm"
    if len(parts) == 2 and parts[1] and not set(parts[1]) - set("rwm"):
        access = parts[1]
    elif len(parts) in (2, 3):
        target = parts[1] or source
        access = parts[2] if len(parts) == 3 else access
    elif len(parts) > 3:
        raise InvalidArgument(f"bad format for path: {text}")
    if not access or set(access) - set("rwm") or len(set(access)) != len(access):
        raise InvalidArgument(f"bad mode specified: {access}")
    if target[:1] != "/":
        raise InvalidArgument(f"device {text!r}: {target} is not an absolute path")
    return DeviceNode(source=source, target=target, access=access)


def parse_device_rule(text: str) -> DeviceRule:
    """``c 42:* rmw`` of ``--device-cgroup-rule``."""
    wrong = InvalidArgument(f"invalid device cgroup format '{text}'")
    fields = text.split(" ")
    if len(fields) != 3 or fields[0] not in ("a", "b", "c"):
        raise wrong
    kind, numbers, access = fields
    found = [_device_number(number, wrong) for number in numbers.split(":")]
    if len(found) != 2 or not 1 <= len(access) <= 3 or set(access) - set("rwm"):
        raise wrong
    return DeviceRule(allow=True, type=kind, major=found[0], minor=found[1], access=access)


def _device_number(text: str, wrong: InvalidArgument) -> int | None:
    if text == "*":
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise wrong
    return int(text)


def parse_device_value(text: str, flag: str) -> DeviceValue:
    """``/dev/sda:VALUE``: bytes a second with a unit for the flags that end in bps, a plain number for the others."""
    path, colon, value = text.rpartition(":")
    if not colon:
        raise InvalidArgument(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise InvalidArgument(f"bad format for device path: {text}")
    try:
        if flag.endswith("bps"):
            return DeviceValue(path=path, value=parse_bytes(value, flag))
        number = parse_integer(value, flag, 0)
    except InvalidArgument:
        raise InvalidArgument(
            f"invalid rate for device: {text}. The correct format is <device-path>:<number>"
            f"{'[<unit>]' if flag.endswith('bps') else ''}. Number must be a positive integer"
        ) from None
    if flag == "blkio-weight-device" and number and not 10 <= number <= 1000:
        raise InvalidArgument(f"invalid weight for device: {text}")
    return DeviceValue(path=path, value=number)


def parse_sysctl(text: str) -> tuple[str, str]:
    """``NAME=VALUE`` of a kernel setting that belongs to a namespace."""
    name, equals, value = text.partition("=")
    allowed = name in _SYSCTLS or name.startswith(("net.", "fs.mqueue."))
    if not equals or not allowed:
        raise InvalidArgument(f'invalid argument "{text}" for "--sysctl" flag: sysctl \'{text}\' is not allowed')
    return name, value


def parse_mode(text: str, flag: str) -> str:
    """Which namespace a container has: a word, or ``container:NAME`` for ``--ipc`` and ``--pid``; "" is the default."""
    kind, colon, name = text.partition(":")
    if not text or text in _MODES[flag] or (flag in _JOINABLE and kind == "container" and colon and name):
        return text
    label = {"cgroupns": "CGROUP"}.get(flag, flag.upper())
    raise InvalidArgument(f"--{flag}: invalid {label} mode")


def parse_label_file(data: bytes, path: str) -> list[str]:
    """Labels of a ``--label-file``, one a line; ``#`` begins a comment line."""
    try:
        lines = data.removeprefix(b"\xef\xbb\xbf").decode().split("\n")
    except UnicodeDecodeError:
        raise InvalidArgument(f"{path}: is not UTF-8") from None
    stripped = [line.removesuffix("\r").lstrip(" \t") for line in lines]
    return [line for line in stripped if line and line[0] != "#"]

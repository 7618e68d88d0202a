"""Requests held against this host: as many CPUs as there are, signals that exist."""

from __future__ import annotations

import os

from utsuwa.errors import InvalidArgument, Unsupported
from utsuwa.runtime.process import signal_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.spec.request import RunRequest

_ONLINE = "/sys/devices/system/cpu/online"


def check_limits(request: RunRequest) -> None:
    """Raise InvalidArgument for CPUs that this host hasn't and for a stop signal that there is not."""
    cpus = os.cpu_count() or 1
    if request.nano_cpus is not None and not 10_000_000 <= request.nano_cpus <= cpus * 1_000_000_000:
        raise InvalidArgument(
            f"range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available, "
            f"found {request.nano_cpus / 1_000_000_000:g}"
        )
    if request.cpuset_cpus:
        wanted, online = _numbers(request.cpuset_cpus), _read(_ONLINE)
        if online and not wanted <= _numbers(online):
            raise InvalidArgument(f"requested CPUs are not available: {request.cpuset_cpus} of {online}")
    if request.security.apparmor or request.security.selinux:
        _check_modules(request)
    if request.stop_signal:
        stop_signal(request.stop_signal)


def _check_modules(request: RunRequest) -> None:
    """Confinement that is asked for, and that this kernel has not, is no confinement."""
    from utsuwa.linux.lsm import enabled

    for name, wanted in (("apparmor", request.security.apparmor), ("selinux", request.security.selinux)):
        if wanted and name not in enabled():
            flag = "apparmor" if name == "apparmor" else "label"
            raise Unsupported(f"unsupported: security-opt {flag}={wanted} (this host does not enforce {name})")


def stop_signal(text: str) -> int:
    """The number of a signal that can be sent. Raises InvalidArgument in Docker's words."""
    try:
        number = signal_number(text)
    except InvalidArgument:
        number = 0
    if not number:
        raise InvalidArgument(f"Invalid signal: {text}")
    return number


def _numbers(text: str) -> set[int]:
    """A list of CPUs as the kernel writes it: 0-2,5."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        ends = [first, last] if dash else [first, first]
        if not all(each.isascii() and each.isdigit() and len(each) < 6 for each in ends) or int(ends[0]) > int(ends[1]):
            raise InvalidArgument(f"invalid value {text} for cpuset cpus: expected numbers and ranges as 0-2,5")
        found.update(range(int(ends[0]), int(ends[1]) + 1))
    return found


def _read(path: str) -> str:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read().decode("ascii", "replace").strip()
    except OSError:
        return ""

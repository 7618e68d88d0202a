"""How a Python program says what it wants of a container, and the request that this amounts to."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from typing import TypedDict

from utsuwa.errors import InvalidArgument, from_oserror
from utsuwa.spec import flags, seldom_flags
from utsuwa.spec.healthcheck import Healthcheck
from utsuwa.spec.request import (
    Logging,
    NetworkSettings,
    NetworkWish,
    Restart,
    RunRequest,
    Security,
    Seldom,
    Tmpfs,
    Volume,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

Command = str | Sequence[str]
"""A list of words, or one string that is split as a shell splits words (and not interpreted otherwise)."""


class Options(TypedDict, total=False):
    """What ``run``, ``start`` and ``create`` take by keyword; docs/library.md explains each.

    Sizes are bytes, or text as "256m"; ``cpus`` is a number of processors; ``volumes`` are as ``-v`` takes them, or
    records; ``logging`` is a record or the name of a driver.
    """

    name: str
    hostname: str
    env: Mapping[str, str | None]
    labels: Mapping[str, str]
    entrypoint: Command
    workdir: str
    user: str
    groups: Sequence[str | int]
    volumes: Sequence[str | Volume]
    tmpfs: Sequence[str | Tmpfs]
    read_only: bool
    network: str | Sequence[str]
    ports: Sequence[str]
    memory: int | str
    memory_swap: int | str
    cpus: float
    cpu_shares: int
    cpuset_cpus: str
    pids_limit: int
    ulimits: Sequence[str]
    cap_add: Sequence[str]
    cap_drop: Sequence[str]
    security: Sequence[str]
    privileged: bool
    init: bool
    tty: bool
    stdin_open: bool
    auto_remove: bool
    stop_signal: str
    stop_timeout: int
    logging: str | Logging
    restart: str | Restart
    health: Healthcheck
    runtime: str
    volumes_from: Sequence[str]
    domainname: str
    ipc: str
    pid: str
    uts: str
    cgroup_parent: str
    shm_size: int | str
    sysctls: Mapping[str, str]
    devices: Sequence[str]
    oom_score_adj: int
    memory_reservation: int | str
    annotations: Mapping[str, str]


def request(image: str, command: Command, options: Options, **fixed: object) -> RunRequest:
    """The request; ``fixed`` are fields of it. Raises TypeError for an option that there is not, InvalidArgument for a
    value that makes no sense.
    """
    values: dict[str, Any] = dict(options)
    found: dict[str, Any] = {}
    _networking(found, values.pop("network", ""), values.pop("ports", ()))
    seldom: dict[str, Any] = {}
    for name, value in values.items():
        if name not in Options.__annotations__:
            raise TypeError(f"a container has no option {name!r}, the options are {', '.join(Options.__annotations__)}")
        field, convert = _CONVERSIONS.get(name, (name, _same))
        (seldom if name in _SELDOM else found)[field] = convert(value)
    if seldom:
        found["seldom"] = Seldom(**seldom)
    return RunRequest(image=image, command=words(command), **{**found, **fixed})


def words(command: Command) -> tuple[str, ...]:
    """The words of a command."""
    if isinstance(command, str):
        try:
            return tuple(shlex.split(command))
        except ValueError as error:
            raise InvalidArgument(f"command {command!r}: {str(error).lower()}") from None
    return tuple(map(os.fspath, command))


def environment(env: Mapping[str, str | None]) -> tuple[str, ...]:
    """Variables; None takes one of the image away."""
    for name in env:
        if not name or "=" in name:
            raise InvalidArgument(f"env {name!r}: expected the name of a variable")
    return tuple(name if value is None else f"{name}={value}" for name, value in env.items())


def _same(value: object) -> object:
    return value


def _list(convert: Callable[[str], object]) -> Callable[[Sequence[object]], object]:
    """Each text of a list converted; records stay as they are."""

    def convert_all(values: Sequence[object]) -> object:
        if isinstance(values, str):
            raise InvalidArgument(f"expected a list, found the text {values!r}")
        return tuple(convert(value) if isinstance(value, str) else value for value in values)

    return convert_all


def _volume(text: str) -> Volume:
    return flags.parse_volume(text, os.getcwd())


def _bytes(value: int | str) -> int:
    return value if isinstance(value, int) else flags.parse_bytes(value)


def _swap(value: int | str) -> int:
    return value if isinstance(value, int) else flags.parse_memory_swap(value)


def _security(values: Sequence[str]) -> Security:
    """As ``--security-opt``, with the text of a seccomp profile in the place of its path."""
    security = flags.parse_security(values)
    if security.seccomp in (None, "unconfined"):
        return security
    try:
        with open(security.seccomp, encoding="utf-8") as file:
            return security.replace(seccomp=file.read())
    except OSError as error:
        raise from_oserror(error, f"open seccomp profile {security.seccomp}") from error
    except UnicodeDecodeError:
        raise InvalidArgument(f"seccomp profile {security.seccomp}: is not UTF-8") from None


def _networking(found: dict[str, Any], network: str | Sequence[str], ports: Sequence[str]) -> None:
    """Put what ``--network`` and ``--publish`` would say into the fields of a request."""
    from utsuwa.spec.network_flags import parse_network, parse_publish

    wishes = tuple(map(parse_network, [network] if isinstance(network, str) else network)) if network else ()
    if wishes:
        found["network"] = wishes[0].network
        if wishes != (NetworkWish(network=wishes[0].network),):
            found["networks"] = wishes
    if ports:
        found["networking"] = NetworkSettings(ports=tuple(port for text in ports for port in parse_publish(text)))


def _logging(value: str | Logging) -> Logging:
    return flags.parse_logging(value, ()) if isinstance(value, str) else value


def _mode(flag: str) -> tuple[str, Callable[[Any], object]]:
    return flag, lambda text: seldom_flags.parse_mode(text, flag)


_CONVERSIONS: dict[str, tuple[str, Callable[[Any], object]]] = {
    "env": ("env", environment),
    "labels": ("labels", dict),
    "entrypoint": ("entrypoint", words),
    "groups": ("groups", lambda groups: tuple(map(str, groups))),
    "volumes": ("volumes", _list(_volume)),
    "tmpfs": ("tmpfs", _list(flags.parse_tmpfs)),
    "memory": ("memory", _bytes),
    "memory_swap": ("memory_swap", _swap),
    "cpus": ("nano_cpus", lambda cpus: flags.parse_cpus(f"{cpus:.9f}")),
    "ulimits": ("rlimits", _list(flags.parse_ulimit)),
    "cap_add": ("cap_add", _list(flags.parse_capability)),
    "cap_drop": ("cap_drop", _list(flags.parse_capability)),
    "security": ("security", _security),
    "logging": ("logging", _logging),
    "volumes_from": ("volumes_from", tuple),
    "ipc": _mode("ipc"),
    "pid": _mode("pid"),
    "uts": _mode("uts"),
    "shm_size": ("shm_size", _bytes),
    "sysctls": ("sysctls", lambda found: dict(seldom_flags.parse_sysctl(f"{name}={found[name]}") for name in found)),
    "devices": ("devices", _list(seldom_flags.parse_device)),
    "memory_reservation": ("memory_reservation", _bytes),
    "annotations": ("annotations", dict),
    "restart": ("restart", lambda value: flags.parse_restart(value) if isinstance(value, str) else value),
}
"""Option -> the field of the request, and how its value becomes that field's."""
_SELDOM = frozenset(
    ("domainname", "ipc", "pid", "uts", "cgroup_parent", "shm_size", "sysctls", "devices", "oom_score_adj")
    + ("memory_reservation", "annotations")
)
"""Options that belong into the part of a request that few have."""

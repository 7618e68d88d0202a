"""The options of `run` and `create` that few containers have, and those that are refused by name."""

from __future__ import annotations

from utsuwa.cli.flags import LIST, NUMBER, SWITCH, WORD, BadUsage, Option
from utsuwa.errors import InvalidArgument, Unsupported, from_oserror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.cli.flags import Arguments
    from utsuwa.spec.request import Seldom

_KEPT = (
    Option("annotation", "", LIST, "Add an annotation to the container (passed through to the OCI runtime)"),
    Option("blkio-weight", "", NUMBER, "Block IO (relative weight), between 10 and 1000, or 0 to disable"),
    Option("blkio-weight-device", "", LIST, "Block IO weight (relative device weight)"),
    Option("cgroup-parent", "", WORD, "Optional parent cgroup for the container"),
    Option("cgroupns", "", WORD, "Cgroup namespace to use (host|private)"),
    Option("cpu-period", "", NUMBER, "Limit CPU CFS (Completely Fair Scheduler) period"),
    Option("cpu-quota", "", NUMBER, "Limit CPU CFS (Completely Fair Scheduler) quota"),
    Option("cpu-rt-period", "", NUMBER, "Limit CPU real-time period in microseconds"),
    Option("cpu-rt-runtime", "", NUMBER, "Limit CPU real-time runtime in microseconds"),
    Option("cpuset-mems", "", WORD, "MEMs in which to allow execution (0-3, 0,1)"),
    Option("device", "", LIST, "Add a host device to the container"),
    Option("device-cgroup-rule", "", LIST, "Add a rule to the cgroup allowed devices list"),
    Option("device-read-bps", "", LIST, "Limit read rate (bytes per second) from a device"),
    Option("device-read-iops", "", LIST, "Limit read rate (IO per second) from a device"),
    Option("device-write-bps", "", LIST, "Limit write rate (bytes per second) to a device"),
    Option("device-write-iops", "", LIST, "Limit write rate (IO per second) to a device"),
    Option("domainname", "", WORD, "Container NIS domain name"),
    Option("ipc", "", WORD, "IPC mode to use (none, private, shareable, host, container:NAME)"),
    Option("memory-reservation", "", WORD, "Memory soft limit"),
    Option("memory-swappiness", "", NUMBER, "Tune container memory swappiness (0 to 100)"),
    Option("oom-kill-disable", "", SWITCH, "Disable OOM Killer"),
    Option("oom-score-adj", "", NUMBER, "Tune host's OOM preferences (-1000 to 1000)"),
    Option("pid", "", WORD, "PID namespace to use (host, container:NAME)"),
    Option("shm-size", "", WORD, "Size of /dev/shm"),
    Option("sysctl", "", LIST, "Sysctl options"),
    Option("uts", "", WORD, "UTS namespace to use (host)"),
)
_CHECKED = (
    Option("disable-content-trust", "", SWITCH, "Skip image verification (there is none)", True),
    Option("isolation", "", WORD, "Container isolation technology (default)"),
    Option("userns", "", WORD, "User namespace to use (host)"),
    Option("volume-driver", "", WORD, "Optional volume driver for the container (local)"),
)
_REFUSED = {
    "cpu-count": (NUMBER, "Windows only"),
    "cpu-percent": (NUMBER, "Windows only"),
    "gpus": (WORD, "name the device files with --device"),
    "io-maxbandwidth": (WORD, "Windows only"),
    "io-maxiops": (WORD, "Windows only"),
    "kernel-memory": (WORD, "kernels have no such limit any more, use --memory"),
    "storage-opt": (LIST, "a container's writable layer has no quota"),
    "use-api-socket": (SWITCH, "bind the socket with --volume"),
}
OPTIONS = (
    *_KEPT,
    *_CHECKED,
    *(Option(name, "", kind, f"Refused: {why}") for name, (kind, why) in _REFUSED.items()),
)
_NAMES = frozenset(option.name for option in OPTIONS)


def request(arguments: Arguments) -> Seldom | None:
    """What the options ask for, None for nothing. Raises InvalidArgument and Unsupported."""
    given = _NAMES.intersection(arguments.given)
    if not given:
        return None
    _check(arguments, given)
    from utsuwa.spec import flags
    from utsuwa.spec import seldom_flags as parse
    from utsuwa.spec.request import Seldom

    text, number = arguments.text, arguments.number
    values: dict[str, Any] = {
        name.replace("-", "_"): tuple(parse.parse_device_value(each, name) for each in arguments.list(name))
        for name in (
            "blkio-weight-device",
            "device-read-bps",
            "device-write-bps",
            "device-read-iops",
            "device-write-iops",
        )
    }
    return Seldom(
        **values,
        annotations=dict(each.partition("=")[::2] for each in arguments.list("annotation")) or None,
        blkio_weight=number("blkio-weight"),
        domainname=text("domainname") or None,
        ipc=parse.parse_mode(text("ipc"), "ipc"),
        pid=parse.parse_mode(text("pid"), "pid"),
        uts=parse.parse_mode(text("uts"), "uts"),
        cgroup=parse.parse_mode(text("cgroupns"), "cgroupns"),
        cgroup_parent=text("cgroup-parent"),
        shm_size=flags.parse_bytes(text("shm-size"), "shm-size") if text("shm-size") else None,
        sysctls=dict(map(parse.parse_sysctl, arguments.list("sysctl"))) or None,
        devices=tuple(map(parse.parse_device, arguments.list("device"))),
        device_rules=tuple(map(parse.parse_device_rule, arguments.list("device-cgroup-rule"))),
        oom_score_adj=number("oom-score-adj"),
        oom_kill_disable=arguments.on("oom-kill-disable"),
        memory_reservation=_memory(text("memory-reservation")),
        memory_swappiness=_swappiness(number("memory-swappiness")),
        cpu_period=number("cpu-period"),
        cpu_quota=number("cpu-quota"),
        cpu_rt_period=number("cpu-rt-period"),
        cpu_rt_runtime=number("cpu-rt-runtime"),
        cpuset_mems=text("cpuset-mems") or None,
    )


def labels(arguments: Arguments) -> list[str]:
    """The labels of --label-file, then those of --label."""
    from utsuwa.spec.seldom_flags import parse_label_file

    found: list[str] = []
    for path in arguments.list("label-file"):
        try:
            with open(path, "rb", buffering=0) as file:
                found += parse_label_file(file.read(), path)
        except OSError as error:
            raise from_oserror(error, f"open {path}") from error
    return [*found, *arguments.list("label")]


def _check(arguments: Arguments, given: frozenset[str]) -> None:
    """Refuse what can't be done, by name."""
    for name in sorted(given):
        if name in _REFUSED and arguments.options[name] not in (False, "", "0"):
            raise Unsupported(f"unsupported: --{name} ({_REFUSED[name][1]})")
    if not arguments.on("disable-content-trust"):
        raise Unsupported("unsupported: --disable-content-trust=false (image signatures are not looked at)")
    if arguments.text("isolation") not in ("", "default"):
        raise Unsupported(f"unsupported: --isolation {arguments.text('isolation')} (use default)")
    if arguments.text("userns") not in ("", "host"):
        raise Unsupported(f"unsupported: --userns {arguments.text('userns')} (use host)")
    if arguments.text("volume-driver") not in ("", "local"):
        raise Unsupported(f"unsupported: --volume-driver {arguments.text('volume-driver')} (use local)")
    if arguments.text("uts") == "host" and arguments.text("hostname"):
        raise InvalidArgument("conflicting options: hostname and the UTS mode")


def _memory(text: str) -> int | None:
    from utsuwa.spec.flags import parse_bytes

    return parse_bytes(text, "memory-reservation") if text else None


def _swappiness(number: int | None) -> int | None:
    if number is None or number == -1:
        return None
    if not 0 <= number <= 100:
        raise BadUsage(f"invalid value: {number}. Valid memory swappiness range is 0-100")
    return number

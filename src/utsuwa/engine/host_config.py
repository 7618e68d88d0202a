"""Docker's HostConfig of a container, all of it: what a request leaves out has the value that Docker has then."""

from __future__ import annotations

from utsuwa.engine import defaults

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.spec.request import RunRequest, Seldom
    from utsuwa.spec.runtime import DeviceRule

_NONE: dict[str, Any] = {
    **{
        name: []
        for name in ("BlkioDeviceReadBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteBps", "BlkioDeviceWriteIOps")
    },
    "BlkioWeight": 0,
    "BlkioWeightDevice": [],
    "Cgroup": "",
    "CgroupParent": "",
    "CgroupnsMode": "private",
    "ConsoleSize": [0, 0],
    "ContainerIDFile": "",
    **dict.fromkeys(("CpuCount", "CpuPercent", "IOMaximumBandwidth", "IOMaximumIOps"), 0),
    **dict.fromkeys(("CpuPeriod", "CpuQuota", "CpuRealtimePeriod", "CpuRealtimeRuntime"), 0),
    "CpusetMems": "",
    **{name: [] for name in ("Dns", "DnsOptions", "DnsSearch", "Devices")},
    **dict.fromkeys(("DeviceCgroupRules", "DeviceRequests", "ExtraHosts", "GroupAdd", "Links", "Ulimits"), None),
    "IpcMode": "private",
    "Isolation": "",
    "MemoryReservation": 0,
    "MemorySwappiness": None,
    "OomKillDisable": None,
    "OomScoreAdj": 0,
    "PidMode": "",
    "PortBindings": {},
    "PublishAllPorts": False,
    "SecurityOpt": None,
    "ShmSize": 64 << 20,
    "UTSMode": "",
    "UsernsMode": "",
    "VolumeDriver": "",
    "VolumesFrom": None,
}
_SELDOM = {
    "blkio_weight": "BlkioWeight",
    "cgroup": "CgroupnsMode",
    "cgroup_parent": "CgroupParent",
    "cpu_period": "CpuPeriod",
    "cpu_quota": "CpuQuota",
    "cpu_rt_period": "CpuRealtimePeriod",
    "cpu_rt_runtime": "CpuRealtimeRuntime",
    "cpuset_mems": "CpusetMems",
    "ipc": "IpcMode",
    "memory_reservation": "MemoryReservation",
    "memory_swappiness": "MemorySwappiness",
    "oom_kill_disable": "OomKillDisable",
    "oom_score_adj": "OomScoreAdj",
    "pid": "PidMode",
    "shm_size": "ShmSize",
    "sysctls": "Sysctls",
    "uts": "UTSMode",
}
"""What the request calls them -> what Docker does."""


def host_config(record: ContainerRecord, request: RunRequest) -> dict[str, Any]:
    """The fields that few containers set, to be overlaid by those that most do."""
    asked: Any = record.request
    seldom = {_SELDOM[name]: value for name, value in (asked.get("seldom") or {}).items() if name in _SELDOM and value}
    seldom |= _devices(request.seldom) if request.seldom else {}
    hidden = request.security.system_paths and not request.privileged
    own: dict[str, Any] = {
        "GroupAdd": list(request.groups) or None,
        "MaskedPaths": list(defaults.MASKED_PATHS) if hidden else None,
        "ReadonlyPaths": list(defaults.READONLY_PATHS) if hidden else None,
        "SecurityOpt": _security(request) or None,
        "Ulimits": _ulimits(request) or None,
        "VolumesFrom": list(request.volumes_from) or None,
    }
    if request.tmpfs:
        own["Tmpfs"] = {each.target: ",".join(each.options) for each in request.tmpfs}
    return {**_NONE, **own, **seldom}


def _devices(seldom: Seldom) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: [{"Path": each.path, "Rate": each.value} for each in values]
        for name, values in (
            ("BlkioDeviceReadBps", seldom.device_read_bps),
            ("BlkioDeviceReadIOps", seldom.device_read_iops),
            ("BlkioDeviceWriteBps", seldom.device_write_bps),
            ("BlkioDeviceWriteIOps", seldom.device_write_iops),
        )
    }
    found["BlkioWeightDevice"] = [{"Path": each.path, "Weight": each.value} for each in seldom.blkio_weight_device]
    found["Devices"] = [
        {"PathOnHost": each.source, "PathInContainer": each.target, "CgroupPermissions": each.access}
        for each in seldom.devices
    ]
    found["DeviceCgroupRules"] = [_rule(each) for each in seldom.device_rules] or None
    return found | ({"Annotations": seldom.annotations} if seldom.annotations else {})


def _rule(rule: DeviceRule) -> str:
    numbers = ["*" if each is None or each < 0 else str(each) for each in (rule.major, rule.minor)]
    return f"{rule.type or 'a'} {':'.join(numbers)} {rule.access or 'rwm'}"


def _security(request: RunRequest) -> list[str]:
    found = ["no-new-privileges"] if request.security.no_new_privileges else []
    if request.security.seccomp is not None:
        found.append(f"seccomp={request.security.seccomp}")
    if not request.security.system_paths:
        found.append("systempaths=unconfined")
    if request.security.apparmor is not None:
        found.append(f"apparmor={request.security.apparmor}")
    label = zip(("user", "role", "type", "level"), (request.security.selinux or "").split(":", 3), strict=False)
    found += [f"label={name}:{part}" for name, part in label if part]
    found += [f"{name}={path}" for name in ("mask", "unmask") for path in getattr(request.security, name)]
    return found


def _ulimits(request: RunRequest) -> list[dict[str, Any]]:
    return [
        {"Name": each.type.removeprefix("RLIMIT_").lower(), "Hard": each.hard, "Soft": each.soft}
        for each in request.rlimits
    ]

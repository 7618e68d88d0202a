"""Everything about a container as one document, in the shape of Docker's ``GET /containers/{id}/json``."""

from __future__ import annotations

from utsuwa.engine import mountpoints, network_inspection
from utsuwa.engine.containers import log_name
from utsuwa.engine.host_config import host_config
from utsuwa.engine.status import CREATED, PAUSED
from utsuwa.spec.mount import Mount
from utsuwa.spec.record import decode
from utsuwa.spec.request import RunRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.paths import Paths
    from utsuwa.engine.status import Status

_NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time."""


def container(paths: Paths, record: ContainerRecord, status: Status) -> dict[str, object]:
    """The document of a container."""
    request: RunRequest = decode(RunRequest, record.request)
    directory = paths.container(record.id)
    return {
        "Id": record.id,
        "Created": record.createdAt,
        "Path": record.command[0],
        "Args": list(record.command[1:]),
        "State": {**state(status), **_health(paths, record, status)},
        "Image": record.imageId,
        "ResolvConfPath": f"{directory}/resolv.conf",
        "HostnamePath": f"{directory}/hostname",
        "HostsPath": f"{directory}/hosts",
        "LogPath": f"{directory}/{log_name(record)}" if log_name(record) else "",
        "Name": f"/{record.name}",
        "RestartCount": status.restarts,
        "Driver": "overlay2" if _is_overlay(record) else "copy",
        "Platform": "linux",
        **dict.fromkeys(("AppArmorProfile", "MountLabel", "ProcessLabel"), ""),
        "ExecIDs": None,
        "HostConfig": {**host_config(record, request), **_host_config(record, request)},
        "GraphDriver": {"Data": _layers(record, status), "Name": "overlay2" if _is_overlay(record) else "copy"},
        "Mounts": [mountpoints.describe(point) for point in record.mountPoints],
        "Config": _config(paths, record, request),
        "NetworkSettings": network_inspection.container(paths, record, status.pid if status.alive else 0),
    }


def _is_overlay(record: ContainerRecord) -> bool:
    return any(mount["type"] == "overlay" for mount in record.mounts)  # type: ignore[index]


def _layers(record: ContainerRecord, status: Status) -> dict[str, object] | None:
    """The directories that make an overlay, by the names that Docker has for them."""
    mount = next((decode(Mount, each) for each in record.mounts if _is_overlay(record)), None)
    if mount is None:
        return None
    names = {"LowerDir": "lowerdir", "UpperDir": "upperdir", "WorkDir": "workdir"}
    found: dict[str, object] = {name: mount.option(option) or "" for name, option in names.items()}
    return found | {"MergedDir": f"/proc/{status.pid}/root" if status.alive else ""}  # mounted nowhere else


def state(status: Status) -> dict[str, object]:
    """The part that changes."""
    ended = status.exit
    return {
        "Status": status.name,
        "Running": status.alive or status.restarting,
        "Paused": status.name == PAUSED,
        "Restarting": status.restarting,
        "OOMKilled": bool(ended and ended.oomKilled),
        "Dead": False,
        "Pid": status.pid,
        "ExitCode": status.code,
        "Error": ended.error if ended else "",
        "StartedAt": (status.started_at if status.name != CREATED else "") or _NEVER,
        "FinishedAt": (ended.finishedAt if ended else "") or _NEVER,
    }


def _health(paths: Paths, record: ContainerRecord, status: Status) -> dict[str, object]:
    """The results of the checks; what does not run is not healthy."""
    if not record.health:
        return {}
    from utsuwa.monitor.health import UNHEALTHY, read_health
    from utsuwa.spec.codec import encode

    found = read_health(paths.container(record.id))
    log = encode(found.Log) if found else []
    streak = found.FailingStreak if found else 0
    return {"Health": {"Status": status.health or UNHEALTHY, "FailingStreak": streak, "Log": log}}


def _config(paths: Paths, record: ContainerRecord, request: RunRequest) -> dict[str, object]:
    from utsuwa.spec.codec import parse

    with open(f"{paths.container(record.id)}/config.json", "rb", buffering=0) as file:
        process = parse(file.read())
    published = [f"{port.port}/{port.protocol}" for port in request.networking.ports]
    exposed = sorted({*record.exposed, *published})
    user = request.user or ("" if record.user == "0" else record.user)
    return {
        "Hostname": process.get("hostname", ""),
        "Domainname": process.get("domainname", ""),
        "Volumes": {point["destination"]: {} for point in record.mountPoints if point["name"]} or None,  # type: ignore[index]
        "OnBuild": None,
        "User": user or "",
        "AttachStdin": record.stdinOnce,
        "AttachStdout": not request.detach,
        "AttachStderr": not request.detach,
        "Tty": record.tty,
        "OpenStdin": record.openStdin,
        "StdinOnce": record.stdinOnce,
        "Env": _environment(process["process"].get("env", []), process.get("hostname", ""), request),
        "Cmd": list(record.command[len(record.entrypoint or ()) :]) or None,
        "Entrypoint": list(record.entrypoint) if record.entrypoint is not None else None,
        "Image": record.image,
        "WorkingDir": process["process"]["cwd"],
        "Labels": record.labels,
        "StopSignal": record.stopSignal,
        "StopTimeout": record.stopTimeout,
        **({"Healthcheck": record.healthcheck} if record.healthcheck else {}),
        **({"ExposedPorts": {port: {} for port in exposed}} if exposed else {}),
    }


def _environment(found: list[str], hostname: str, request: RunRequest) -> list[str]:
    """What the image and the user have set, without what the engine adds for every process."""
    added = {f"HOSTNAME={hostname}", "TERM=xterm"}.difference(request.env)
    return [variable for variable in found if variable not in added]


def _host_config(record: ContainerRecord, request: RunRequest) -> dict[str, object]:
    logging = request.logging
    return {
        **mountpoints.asked(request),
        "LogConfig": {"Type": logging.driver, "Config": logging.options},
        "NetworkMode": request.network,
        "PortBindings": _bindings(request),
        "PublishAllPorts": request.networking.publish_all,
        "Dns": list(request.networking.dns),
        "DnsOptions": list(request.networking.dns_options),
        "DnsSearch": list(request.networking.dns_search),
        "ExtraHosts": list(request.networking.hosts) or None,
        "AutoRemove": record.autoRemove,
        "CapAdd": list(request.cap_add) or None,
        "CapDrop": list(request.cap_drop) or None,
        "Privileged": request.privileged,
        "ReadonlyRootfs": request.read_only,
        "Init": record.init,
        "Memory": request.memory or 0,
        "MemorySwap": request.memory_swap or 2 * max(0, request.memory or 0),
        "NanoCpus": request.nano_cpus or 0,
        "CpuShares": request.cpu_shares or 0,
        "CpusetCpus": request.cpuset_cpus or "",
        "PidsLimit": request.pids_limit,
        "RestartPolicy": {"Name": record.restart or "no", "MaximumRetryCount": record.restartLimit},
        "Runtime": record.runtime,
    }


def _bindings(request: RunRequest) -> dict[str, object]:
    found: dict[str, list[dict[str, str]]] = {}
    for port in request.networking.ports:
        binding = {"HostIp": port.host_ip, "HostPort": str(port.host_port or "")}
        found.setdefault(f"{port.port}/{port.protocol}", []).append(binding)
    return dict(found)

"""What few containers ask for, put into the configuration that all of them have."""

from __future__ import annotations

import os
import stat

from utsuwa.errors import InvalidArgument, NotFound, Unsupported, from_oserror
from utsuwa.spec.runtime import CPU, Device, DeviceRule, Linux, Memory, Mount, Resources
from utsuwa.spec.seldom import BlockIO, ThrottleDevice, WeightDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from utsuwa.spec.request import DeviceNode, DeviceValue, RunRequest, Seldom
    from utsuwa.spec.runtime import Spec

_SHM = "/dev/shm"
_GATHERING = "error gathering device information while adding custom device"
_MEMORY_FLOOR = 6 * 1024 * 1024


def apply(spec: Spec, request: RunRequest, asked: Seldom, cgroup2: bool) -> Spec:
    """The configuration with all that was asked for. Raises InvalidArgument, NotFound and Unsupported."""
    _check(request, asked, cgroup2)
    linux, process = spec.linux, spec.process
    assert linux is not None and process is not None  # the engine composed it
    if asked.oom_score_adj is not None:
        process = process.replace(oomScoreAdj=asked.oom_score_adj)
    return spec.replace(
        process=process,
        annotations=asked.annotations,
        domainname=asked.domainname,
        hostname=None if asked.uts == "host" else spec.hostname,
        mounts=tuple(_mounts(spec.mounts or (), asked)),
        linux=_linux(linux, request, asked),
    )


def _check(request: RunRequest, asked: Seldom, cgroup2: bool) -> None:
    if cgroup2:
        for name in ("memory_swappiness", "cpu_rt_period", "cpu_rt_runtime", "oom_kill_disable"):
            if getattr(asked, name):
                raise Unsupported(f"unsupported: {name.replace('_', '-')} (cgroup v2 has no such setting)")
    if asked.oom_score_adj is not None and not -1000 <= asked.oom_score_adj <= 1000:
        raise InvalidArgument(f"Invalid value {asked.oom_score_adj}, range for oom score adj is [-1000, 1000]")
    if request.nano_cpus and (asked.cpu_period or asked.cpu_quota):
        name = "CPU Period" if asked.cpu_period else "CPU Quota"
        raise InvalidArgument(f"Conflicting options: Nano CPUs and {name} cannot both be set")
    if asked.cpu_period and not 1000 <= asked.cpu_period <= 1_000_000:
        raise InvalidArgument("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if asked.cpu_quota and 0 < asked.cpu_quota < 1000:
        raise InvalidArgument("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if asked.blkio_weight and not 10 <= asked.blkio_weight <= 1000:
        raise InvalidArgument("Range of blkio weight is from 10 to 1000")
    reservation = asked.memory_reservation
    if reservation and reservation < _MEMORY_FLOOR:
        raise InvalidArgument("Minimum memory reservation allowed is 6MB")
    if reservation and request.memory and reservation > request.memory:
        raise InvalidArgument("Minimum memory limit can not be less than memory reservation limit, see usage")
    if asked.oom_kill_disable and not request.memory:
        raise InvalidArgument("oom-kill-disable without a memory limit would let the container take all of the host's")
    if ".." in asked.cgroup_parent.split("/"):
        raise InvalidArgument(f"cgroup-parent {asked.cgroup_parent}: must not lead upwards")


# -- namespaces -------------------------------------------------------------------------------------------------------


def _linux(linux: Linux, request: RunRequest, asked: Seldom) -> Linux:
    found = [(node, access) for device in asked.devices for _source, node, access in nodes(device)]
    replaced: dict[str, object] = {}
    if asked.cgroup_parent:
        own = (linux.cgroupsPath or "").rpartition("/")[2]
        replaced["cgroupsPath"] = f"/{asked.cgroup_parent.strip('/')}/{own}"
    if found and not request.privileged:
        replaced["devices"] = tuple(node for node, _access in found)
    if asked.sysctls:
        replaced["sysctl"] = {**(linux.sysctl or {}), **asked.sysctls}
    return linux.replace(
        namespaces=tuple(_namespaces(linux, asked)),
        resources=_resources(linux.resources or Resources(), asked, found),
        **replaced,
    )


def _namespaces(linux: Linux, asked: Seldom) -> Iterable[object]:
    """Without those that are the host's; what another container has is filled in when this one starts."""
    from utsuwa.spec.runtime import Namespace

    hosts = {"ipc": asked.ipc, "pid": asked.pid, "uts": asked.uts, "cgroup": asked.cgroup}
    for namespace in linux.namespaces or ():
        if hosts.get(namespace.type) != "host":
            yield namespace
    if asked.cgroup == "private" and linux.namespace("cgroup") is None:
        yield Namespace(type="cgroup")


def _mounts(mounts: tuple[Mount, ...], asked: Seldom) -> Iterable[Mount]:
    for mount in mounts:
        if mount.destination == _SHM and mount.source == "shm":
            found = _shm(mount, asked)
            if found is not None:
                yield found
        else:
            yield mount


def _shm(mount: Mount, asked: Seldom) -> Mount | None:
    """Shared memory goes with the IPC namespace: the host's, another container's (filled in at its start), or none."""
    if asked.ipc == "none":
        return None
    if asked.ipc == "host" or asked.ipc.startswith("container:"):
        return Mount(destination=_SHM, type="bind", source=_SHM, options=("rbind", "rprivate"))
    if asked.shm_size is None:
        return mount
    options = [option for option in mount.options or () if not option.startswith("size=")]
    return mount.replace(options=(*options, f"size={asked.shm_size}"))


# -- devices and limits -----------------------------------------------------------------------------------------------


def nodes(device: DeviceNode) -> list[tuple[str, Device, str]]:
    """The path on the host and the node of a device, or those of all devices in a directory, with the access to it.

    Raises what stands for what stat(2) says, InvalidArgument for what is no device.
    """
    try:
        source = os.path.realpath(device.source, strict=True)
        state = os.stat(source)
    except OSError as error:
        raise from_oserror(error, f'{_GATHERING} "{device.source}"') from error
    if not stat.S_ISDIR(state.st_mode):
        return [(source, _node(source, device.target, state), device.access)]
    found = []
    for folder, _, names in os.walk(source):
        for name in sorted(names):
            state = os.stat(f"{folder}/{name}", follow_symlinks=False)
            if stat.S_ISCHR(state.st_mode) or stat.S_ISBLK(state.st_mode):
                target = f"{device.target}{folder[len(source) :]}/{name}"
                found.append((f"{folder}/{name}", _node(f"{folder}/{name}", target, state), device.access))
    return found


def _node(source: str, target: str, state: os.stat_result) -> Device:
    if not (stat.S_ISCHR(state.st_mode) or stat.S_ISBLK(state.st_mode)):
        raise InvalidArgument(f'{_GATHERING} "{source}": not a device node')
    return Device(
        type="c" if stat.S_ISCHR(state.st_mode) else "b",
        path=target,
        major=os.major(state.st_rdev),
        minor=os.minor(state.st_rdev),
        fileMode=stat.S_IMODE(state.st_mode),
        uid=state.st_uid,
        gid=state.st_gid,
    )


def _resources(resources: Resources, asked: Seldom, found: list[tuple[Device, str]]) -> Resources:
    rules = [
        DeviceRule(allow=True, type=node.type, major=node.major, minor=node.minor, access=access)
        for node, access in found
    ]
    return resources.replace(
        devices=(*(resources.devices or ()), *rules, *asked.device_rules),
        memory=_memory(resources.memory, asked),
        cpu=_cpu(resources.cpu, asked),
        blockIO=_block_io(asked),
    )


def _memory(memory: Memory | None, asked: Seldom) -> Memory | None:
    values = {
        "reservation": asked.memory_reservation or None,
        "swappiness": asked.memory_swappiness,
        "disableOOMKiller": asked.oom_kill_disable or None,
    }
    given = {name: value for name, value in values.items() if value is not None}
    return (memory or Memory()).replace(**given) if given else memory


def _cpu(cpu: CPU | None, asked: Seldom) -> CPU | None:
    values = {
        "period": asked.cpu_period,
        "quota": asked.cpu_quota,
        "realtimePeriod": asked.cpu_rt_period,
        "realtimeRuntime": asked.cpu_rt_runtime,
        "mems": asked.cpuset_mems,
    }
    given = {name: value for name, value in values.items() if value}
    return (cpu or CPU()).replace(**given) if given else cpu


def _block_io(asked: Seldom) -> BlockIO | None:
    names = {
        "throttleReadBpsDevice": asked.device_read_bps,
        "throttleWriteBpsDevice": asked.device_write_bps,
        "throttleReadIOPSDevice": asked.device_read_iops,
        "throttleWriteIOPSDevice": asked.device_write_iops,
    }
    given: dict[str, object] = {name: _throttles(values) for name, values in names.items() if values}
    if asked.blkio_weight:
        given["weight"] = asked.blkio_weight
    if asked.blkio_weight_device:
        numbers = [(*_block_device(each.path), each.value) for each in asked.blkio_weight_device]
        given["weightDevice"] = tuple(WeightDevice(major=a, minor=b, weight=weight) for a, b, weight in numbers)
    return BlockIO(**given) if given else None  # type: ignore[arg-type]


def _throttles(values: tuple[DeviceValue, ...]) -> tuple[ThrottleDevice, ...]:
    numbers = [(*_block_device(each.path), each.value) for each in values]
    return tuple(ThrottleDevice(major=major, minor=minor, rate=rate) for major, minor, rate in numbers)


def _block_device(path: str) -> tuple[int, int]:
    try:
        state = os.stat(path)
    except OSError as error:
        raise NotFound(f"{path}: no such device") from error
    if not stat.S_ISBLK(state.st_mode):
        raise InvalidArgument(f"{path} is not a block device")
    return os.major(state.st_rdev), os.minor(state.st_rdev)

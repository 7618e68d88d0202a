"""Checks of properties that few containers have; validate.py and validate_linux.py fetch them when there is one."""

from __future__ import annotations

from utsuwa.spec.record import shown
from utsuwa.spec.validate_linux import check_ranges, invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.spec.runtime import Linux, Mount, Spec
    from utsuwa.spec.seldom import IntelRdt


def check(linux: Linux) -> None:
    """Network devices, clocks, shares of cache and memory bandwidth."""
    _check_network_devices(linux)
    _check_time_offsets(linux)
    if linux.intelRdt is not None:
        check_intel_rdt(linux.intelRdt)


def check_id_mapped_mount(path: str, mount: Mount, spec: Spec) -> None:
    """Bind mounts only, with maps of users and groups, or with those of the container's user namespace."""
    options = mount.options or ()
    if "bind" not in options and "rbind" not in options:
        invalid(path, "id-mapped mounts are only supported for bind-mounts")
    implied = not mount.uidMappings and not mount.gidMappings
    if implied and spec.linux is not None and spec.linux.namespace("user") is not None:
        return
    if not mount.uidMappings or not mount.gidMappings:
        hint = "; without any, the container needs a user namespace to take them from" if implied else ""
        invalid(path, f"id-mapped mounts must have both uid and gid mappings specified{hint}")
    check_ranges(f"{path}.uidMappings", mount.uidMappings)
    check_ranges(f"{path}.gidMappings", mount.gidMappings)


_CLOCKS = ("boottime", "monotonic")


def _check_time_offsets(linux: Linux) -> None:
    """Only the clocks of a namespace that is new can be set."""
    if not linux.timeOffsets:
        return
    namespace = linux.namespace("time")
    if namespace is None:
        invalid("linux.timeOffsets", "time namespace offsets specified, but there is no time namespace to be made")
    if namespace.path:
        invalid("linux.timeOffsets", "both a time namespace path and time offsets specified, there may only be one")
    for clock, offset in linux.timeOffsets.items():
        if clock not in _CLOCKS:
            invalid(f"linux.timeOffsets[{shown(clock)}]", f"expected one of the clocks {', '.join(_CLOCKS)}")
        if (offset.nanosecs or 0) >= 1_000_000_000:
            invalid(f"linux.timeOffsets.{clock}.nanosecs", f"must be less than a second, found {offset.nanosecs}")


def _check_network_devices(linux: Linux) -> None:
    """Names that the kernel takes, each once, and a network namespace to move them to."""
    if linux.netDevices and linux.namespace("network") is None:
        invalid("linux.netDevices", "unable to move network devices without a NET namespace")
    names = set()
    for device, wanted in (linux.netDevices or {}).items():
        inside = wanted.name or device
        for name in (device, inside):
            if not _is_device_name(name):
                invalid(f"linux.netDevices[{shown(device)}]", f"invalid network device name {shown(name)}")
        if inside in names and "%" not in inside:
            invalid(f"linux.netDevices[{shown(device)}].name", f"{shown(inside)} is there already")
        names.add(inside)


def _is_device_name(name: str) -> bool:
    """dev_valid_name() of the kernel: up to 15 bytes, neither a path, nor with a colon or a space."""
    return 0 < len(name.encode()) < 16 and name not in (".", "..") and not any(c in "/:" or c.isspace() for c in name)


def check_intel_rdt(wanted: IntelRdt) -> None:
    """A class that is one directory, and schemata of one line each."""
    path = "linux.intelRdt"
    closid = wanted.closID
    if closid in (".", "..") or (closid is not None and len(closid) > 1 and "/" in closid):
        invalid(f"{path}.closID", f"must be the name of a directory, found {shown(closid)}")
    for index, line in enumerate(wanted.schemata or ()):
        if "\n" in line or ":" not in line:
            invalid(f"{path}.schemata[{index}]", f'expected a line as "L3:0=7f0;1=1f", found {shown(line)}')
    bandwidth = wanted.memBwSchema
    if bandwidth and (not bandwidth.startswith("MB:") or "\n" in bandwidth):
        invalid(f"{path}.memBwSchema", f'expected a line as "MB:0=20;1=70", found {shown(bandwidth)}')


def schemata(wanted: IntelRdt) -> tuple[str, ...]:
    """What is to be written, in the order in which it has to be: caches, bandwidth, then the lines that come as such.

    Lines of bandwidth among those of caches give way to memBwSchema (config-linux.md#intelrdt).
    """
    caches = (wanted.l3CacheSchema or "").split("\n")
    if wanted.memBwSchema:
        caches = [line for line in caches if not line.strip().startswith("MB:")]
    return tuple([line for line in (*caches, wanted.memBwSchema, *(wanted.schemata or ())) if line])

"""What the ``linux`` object of a config.json must satisfy; the checks run from validate.py, in the order of CHECKS."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument
from utsuwa.spec.record import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from utsuwa.spec.runtime import IDMapping, Linux, Memory, Resources, Seccomp, Spec, SyscallRule
    from utsuwa.spec.seldom import BlockIO


def invalid(path: str, problem: str) -> NoReturn:
    """Say that the property at a JSON path has a value the specification (or the kernel) does not allow."""
    raise InvalidArgument(f"{path}: {problem}")


def clean(path: str) -> str:
    """An absolute path without ``.``, ``..`` and repeated slashes; relative ones count from ``/``."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


# -- namespaces and identity ------------------------------------------------------------------------------------------


def check_namespaces(linux: Linux, spec: Spec) -> None:
    """Each type once, paths absolute."""
    seen = set()
    for index, namespace in enumerate(linux.namespaces or ()):
        path = f"linux.namespaces[{index}]"
        if namespace.type in seen:
            invalid(path, f"{namespace.type} is there already, a namespace type may be given once")
        seen.add(namespace.type)
        if namespace.path and namespace.path[0] != "/":
            invalid(f"{path}.path", f"must be absolute, found {shown(namespace.path)}")


def check_mappings(linux: Linux, spec: Spec) -> None:
    """A new user namespace needs mappings of users and groups, root among them, and there are none without it."""
    namespace = linux.namespace("user")
    for name in ("uidMappings", "gidMappings"):
        mappings = getattr(linux, name)
        if namespace is None and mappings:
            invalid(f"linux.{name}", "needs a user namespace in linux.namespaces")
        if namespace is not None and not namespace.path:
            if not mappings:
                invalid(f"linux.{name}", "missing, a new user namespace needs it")
            check_ranges(f"linux.{name}", mappings)
            if not is_mapped(mappings, 0):
                invalid(f"linux.{name}", "must map id 0 of the container")


def check_ranges(path: str, mappings: tuple[IDMapping, ...]) -> None:
    """Ranges of ids as the kernel takes them: none empty, none twice, and not too many (user_namespaces(7))."""
    if len(mappings) > 340:
        invalid(path, f"the kernel takes at most 340 ranges, found {len(mappings)} (user_namespaces(7))")
    for index, mapping in enumerate(mappings):
        if mapping.size == 0:
            invalid(f"{path}[{index}].size", "must be greater than 0")
        for name in ("containerID", "hostID"):
            first = getattr(mapping, name)
            if first + mapping.size > 0xFFFF_FFFF:  # 2**32-1 itself is no id
                invalid(f"{path}[{index}].{name}", f"{first} and {mapping.size} ids from there go beyond 4294967294")
            for other in mappings[:index]:
                start = getattr(other, name)
                if first < start + other.size and start < first + mapping.size:
                    invalid(f"{path}[{index}].{name}", "the range overlaps an earlier one")


def is_mapped(mappings: tuple[IDMapping, ...], number: int) -> bool:
    """Whether an id of the container stands for an id of the host."""
    return any(each.containerID <= number < each.containerID + each.size for each in mappings)


def check_user(linux: Linux, spec: Spec) -> None:
    """The process's ids mean something in a new user namespace."""
    namespace = linux.namespace("user")
    if namespace is None or namespace.path or spec.process is None:
        return
    user = spec.process.user
    if not is_mapped(linux.uidMappings or (), user.uid):
        invalid("process.user.uid", f"{user.uid} is not in linux.uidMappings")
    groups = (("gid", user.gid), *((f"additionalGids[{i}]", gid) for i, gid in enumerate(user.additionalGids or ())))
    for name, gid in groups:
        if not is_mapped(linux.gidMappings or (), gid):
            invalid(f"process.user.{name}", f"{gid} is not in linux.gidMappings")


def check_needs_of_namespaces(linux: Linux, spec: Spec) -> None:
    """Names need a UTS namespace; masked and read-only paths a mount namespace, and must be absolute."""
    for name in ("hostname", "domainname"):
        value = getattr(spec, name)
        if value and linux.namespace("uts") is None:
            invalid(name, "can't be set without a private uts namespace in linux.namespaces")
        if value and len(value.encode()) > 64:
            invalid(name, f"must not be longer than 64 bytes, found {len(value.encode())}")
    for name in ("maskedPaths", "readonlyPaths"):
        paths = getattr(linux, name) or ()
        if paths and linux.namespace("mount") is None:
            invalid(f"linux.{name}", "needs a private mount namespace in linux.namespaces")
        for index, path in enumerate(paths):
            if path[:1] != "/":
                invalid(f"linux.{name}[{index}]", f"must be absolute, found {shown(path)}")


# -- devices, sysctl --------------------------------------------------------------------------------------------------


def check_devices(linux: Linux, spec: Spec) -> None:
    """Device nodes: an absolute path, numbers unless it is a FIFO, mode bits only."""
    for index, device in enumerate(linux.devices or ()):
        path = f"linux.devices[{index}]"
        if device.path[:1] != "/" or clean(device.path) == "/":
            invalid(f"{path}.path", f"must be an absolute path of a file, found {shown(device.path)}")
        for name in () if device.type == "p" else ("major", "minor"):
            number = getattr(device, name)
            if number is None:
                invalid(f"{path}.{name}", f"missing, a device of type {device.type} needs it")
            if not 0 <= number <= 0xFFFF_FFFF:
                invalid(f"{path}.{name}", f"must be from 0 to 4294967295, found {number}")
        if device.fileMode is not None and device.fileMode > 0o177777:
            invalid(f"{path}.fileMode", f"has more than file mode bits: {device.fileMode}")


_IPC_SYSCTLS = frozenset(
    f"kernel/{name}" for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
)


def sysctl_path(key: str) -> str:
    """The path beneath /proc/sys of a sysctl; the first ``.`` or ``/`` tells which of the two separates (sysctl(8))."""
    for character in key:
        if character == "/":
            return key
        if character == ".":
            return key.translate({0x2E: "/", 0x2F: "."})
    return key


def check_sysctl(linux: Linux, spec: Spec) -> None:
    """Only what a namespace of the container's own confines; the host's settings are out of reach."""
    for key in linux.sysctl or ():
        path = f"linux.sysctl[{shown(key)}]"
        parts = sysctl_path(key).split("/")
        if len(parts) < 2 or not {"", ".", ".."}.isdisjoint(parts):
            invalid(path, "is not the name of a kernel setting")
        if parts == ["kernel", "hostname"]:
            invalid(path, "set hostname instead")
        kind = _sysctl_namespace(parts)
        if kind is None:
            invalid(path, "is not confined by any namespace, it would change the host")
        if linux.namespace(kind) is None:
            invalid(path, f"needs a private {kind} namespace in linux.namespaces")


def _sysctl_namespace(parts: list[str]) -> str | None:
    if parts[0] == "net":
        return "network"
    if "/".join(parts) in _IPC_SYSCTLS or parts[:2] == ["fs", "mqueue"]:
        return "ipc"
    if parts == ["kernel", "domainname"]:
        return "uts"
    return "user" if parts[0] == "user" else None


# -- resources --------------------------------------------------------------------------------------------------------


def check_resources(linux: Linux, spec: Spec) -> None:
    """Everything the cgroup is asked for."""
    if linux.resources is not None:
        validate_resources(linux.resources)


def validate_resources(resources: Resources, at: str = "linux.resources.") -> None:
    """Check the limits of a cgroup, those of ``update --resources`` too; ``at`` begins the JSON paths of errors."""
    _check_device_rules(resources, f"{at}devices")
    if resources.memory is not None:
        _check_memory(resources.memory, f"{at}memory")
    _check_cpu(resources, f"{at}cpu")
    if resources.blockIO is not None:
        _check_block_io(resources.blockIO, f"{at}blockIO")
    for index, limit in enumerate(resources.hugepageLimits or ()):
        number, unit = limit.pageSize[:-2], limit.pageSize[-2:]
        if unit not in ("KB", "MB", "GB") or not (number.isascii() and number.isdigit()) or number[0] == "0":
            invalid(f"{at}hugepageLimits[{index}].pageSize", f'expected a size as "2MB", found {shown(limit.pageSize)}')
    for device, rdma in (resources.rdma or {}).items():
        if not device or device != "".join(device.split()) or (rdma.hcaHandles is None and rdma.hcaObjects is None):
            invalid(f"{at}rdma[{shown(device)}]", "expected the name of a device, and hcaHandles, hcaObjects or both")
    for key in resources.unified or ():
        if "/" in key or "." not in key.strip("."):
            invalid(f"{at}unified[{shown(key)}]", 'expected the name of a cgroup file as "memory.high"')


def _check_device_rules(resources: Resources, path: str) -> None:
    for index, rule in enumerate(resources.devices or ()):
        # An "a" beside them adds nothing; runc lets it pass, and its own tests have it.
        if not set(rule.access or "") & set("rwm") or not set(rule.access or "") <= set("rwma"):
            invalid(f"{path}[{index}].access", f"expected some of r, w and m, found {shown(rule.access or '')}")
        for name in ("major", "minor"):
            number = getattr(rule, name)
            if number is not None and not -1 <= number <= 0xFFFF_FFFF:
                invalid(f"{path}[{index}].{name}", f"must be from -1 (any) to 4294967295, found {number}")


def _check_memory(memory: Memory, path: str) -> None:
    for name in ("limit", "reservation", "swap", "kernel", "kernelTCP"):
        value = getattr(memory, name)
        if value is not None and value < -1:
            invalid(f"{path}.{name}", f"expected bytes, or -1 for unlimited, found {value}")
    if memory.swap is not None and memory.swap > 0:
        if not memory.limit:
            invalid(f"{path}.swap", "unable to set swap limit without memory limit")
        if memory.swap < memory.limit:
            invalid(
                f"{path}.swap", f"memory+swap limit should be >= memory limit, found {memory.swap} < {memory.limit}"
            )
    if memory.swappiness is not None and memory.swappiness > 100:
        invalid(f"{path}.swappiness", f"must be from 0 to 100, found {memory.swappiness}")


def _check_cpu(resources: Resources, path: str) -> None:
    cpu = resources.cpu
    if cpu is None:
        return
    for name in ("cpus", "mems"):
        value = getattr(cpu, name)
        if value and not _is_list_of_numbers(value):
            invalid(f"{path}.{name}", f'expected a list as "0-3,7", found {shown(value)}')
    if cpu.idle not in (None, 0, 1):
        invalid(f"{path}.idle", f"must be 0 or 1, found {cpu.idle}")


def _is_list_of_numbers(text: str) -> bool:
    # cpuset(7): "0-3,7", a range may carry a stride as in "0-31:2/4"
    for item in text.strip().split(","):
        bounds, _, stride = item.strip().partition(":")
        low, dash, high = bounds.partition("-")
        numbers = [low, *([high] if dash else []), *(stride.split("/") if stride else [])]
        if not all(each.isascii() and each.isdigit() for each in numbers):
            return False
        if dash and int(low[:9]) > int(high[:9]):
            return False
    return True


def _check_block_io(block_io: BlockIO, path: str) -> None:
    weights = [("", block_io)]
    weights += [(f".weightDevice[{index}]", each) for index, each in enumerate(block_io.weightDevice or ())]  # type: ignore[misc]
    for where, holder in weights:
        for name in ("weight", "leafWeight"):
            weight = getattr(holder, name)
            if weight and not 10 <= weight <= 1000:
                invalid(f"{path}{where}.{name}", f"must be from 10 to 1000, found {weight}")


RECEIVER = "run.oci.seccomp.receiver"
"""crun's annotation for ``listenerPath``, from before the specification had that; podman's users still set it."""


# -- seccomp ----------------------------------------------------------------------------------------------------------


def check_seccomp(linux: Linux, spec: Spec) -> None:
    """Error numbers only where the action returns one, an agent where one is asked."""
    if linux.seccomp is not None:
        validate_seccomp(linux.seccomp)
        _check_listener(linux.seccomp, spec.annotations or {})


def validate_seccomp(seccomp: Seccomp, path: str = "linux.seccomp") -> None:
    """Check a system call filter; ``path`` starts the JSON paths of errors."""
    _check_action(f"{path}.defaultAction", seccomp.defaultAction, f"{path}.defaultErrnoRet", seccomp.defaultErrnoRet)
    for index, rule in enumerate(seccomp.syscalls or ()):
        _check_rule(f"{path}.syscalls[{index}]", rule)


def _check_listener(seccomp: Seccomp, annotations: dict[str, str]) -> None:
    """Who asks an agent says where it is; an agent that nobody asks is no error (as with runc)."""
    if seccomp.listenerPath or annotations.get(RECEIVER):
        return
    if seccomp.listenerMetadata:
        invalid("linux.seccomp.listenerMetadata", "must not be set without listenerPath")
    for index, rule in enumerate(seccomp.syscalls or ()):
        if rule.action == "SCMP_ACT_NOTIFY":
            invalid("linux.seccomp.listenerPath", f"missing, syscalls[{index}] asks it by SCMP_ACT_NOTIFY")


def _check_rule(path: str, rule: SyscallRule) -> None:
    if not rule.names:
        invalid(f"{path}.names", "must not be empty")
    if rule.action == "SCMP_ACT_NOTIFY" and "write" in rule.names:
        invalid(f"{path}.names", "SCMP_ACT_NOTIFY cannot be used for the write syscall")
    _check_action(f"{path}.action", rule.action, f"{path}.errnoRet", rule.errnoRet)
    for index, argument in enumerate(rule.args or ()):
        if argument.index > 5:
            invalid(f"{path}.args[{index}].index", f"a system call has arguments 0 to 5, found {argument.index}")


def _check_action(path: str, action: str, number_path: str, number: int | None) -> None:
    if action == "SCMP_ACT_NOTIFY" and path.endswith(".defaultAction"):
        invalid(path, "SCMP_ACT_NOTIFY cannot be used as default action")
    if number is not None and action not in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        invalid(number_path, f"goes with SCMP_ACT_ERRNO and SCMP_ACT_TRACE only, the action is {action}")


# -- what few containers have -----------------------------------------------------------------------------------------


def check_seldom(linux: Linux, spec: Spec) -> None:
    """Properties that are rare enough for their checks to be fetched when there is something to check."""
    if linux.netDevices or linux.timeOffsets or linux.intelRdt is not None:
        from utsuwa.spec.validate_seldom import check

        check(linux)


CHECKS: tuple[Callable[[Linux, Spec], None], ...] = (
    check_namespaces,
    check_mappings,
    check_user,
    check_needs_of_namespaces,
    check_devices,
    check_sysctl,
    check_resources,
    check_seccomp,
    check_seldom,
)
"""Checks of ``linux``; each raises InvalidArgument or Unsupported for the first property that does not do."""

"""Device nodes: those every container has (config-linux.md#default-devices), those of the configuration, and links."""

from __future__ import annotations

import os

from utsuwa.errors import InvalidArgument
from utsuwa.plan import ops
from utsuwa.plan.mounts import destination, listed
from utsuwa.plan.plan import Step
from utsuwa.spec.runtime import Device

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from utsuwa.plan.case import CreateCase

_DEFAULTS = "config-linux.md#default-devices"
_DEVICES = "config-linux.md#devices"
_DEV_LINKS = "runtime-linux.md#dev-symbolic-links"

# stat(2): the kinds of nodes, and permissions for everybody.
_KINDS = {"c": 0o020000, "u": 0o020000, "b": 0o060000, "p": 0o010000}
_EVERYBODY = 0o666

_DEFAULT_DEVICES = (
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
)
# Made by other means: the console by CONSOLE, ptmx as a link into the container's devpts.
_NOT_NODES = ("/dev/console", "/dev/ptmx")


def make(case: CreateCase) -> Iterator[Step]:
    """Nodes and links in /dev, unless that is the host's or somebody else's directory, bound there."""
    if not case.has("mount") or any(placed.is_dev and placed.options.bind for placed in listed(case)):
        return
    configured = {destination(device.path): device for device in case.linux.devices or ()}
    for index, device in enumerate(case.linux.devices or ()):
        if destination(device.path) not in _NOT_NODES and configured[destination(device.path)] is device:
            yield Step(_node(case, f"linux.devices[{index}]", device), _DEVICES)
    for path, major, minor in _DEFAULT_DEVICES:
        if path not in configured:
            yield Step(_node(case, path, Device(type="c", path=path, major=major, minor=minor)), _DEFAULTS)
    yield from _links(case)
    yield Step(ops.ReopenNull(), _DEFAULTS)


def _node(case: CreateCase, where: str, device: Device) -> ops.Op:
    """mknod(2), or in a user namespace, where that is refused, a bind of the host's node."""
    target = destination(device.path)
    if case.confined_ids and device.type != "p":
        return ops.Bind(os.path.normpath(device.path), target)
    if device.type != "p" and (device.major is None or device.minor is None):
        raise InvalidArgument(f"{where}: a device needs major and minor")
    permissions = _EVERYBODY if device.fileMode is None else device.fileMode & 0o7777
    mode = _KINDS[device.type] | permissions
    return ops.Mknod(target, mode, device.major or 0, device.minor or 0, device.uid or 0, device.gid or 0)


def _links(case: CreateCase) -> Iterator[Step]:
    for name, target in (
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ):
        yield Step(ops.Symlink(target, f"/dev/{name}", 1), _DEV_LINKS)
    if case.host.has_kcore:
        yield Step(ops.Symlink("/proc/kcore", "/dev/core", 1), _DEV_LINKS)
    yield Step(ops.Symlink("pts/ptmx", "/dev/ptmx", 1), _DEFAULTS)

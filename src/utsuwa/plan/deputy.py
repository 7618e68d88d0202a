"""What takes the caller's rights in the middle of a container's birth: other owners for mounts, devices of the host."""

from __future__ import annotations

from utsuwa.errors import Unsupported
from utsuwa.plan import ops
from utsuwa.plan.plan import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from utsuwa.plan.case import CreateCase
    from utsuwa.spec.runtime import Mount

NET_DEVICES = "config-linux.md#network-devices"
ID_MAPPED = "config.md#posix-platform-mounts"


def stand_by(case: CreateCase) -> Iterator[Step]:
    """A deputy, where one is needed: forked before limits and namespaces could bind it."""
    section = _needed_for(case)
    if section:
        yield Step(ops.Deputy(), section)


def leave(case: CreateCase) -> Iterator[Step]:
    """Whatever fails until here is undone by the deputy."""
    section = _needed_for(case)
    if section:
        yield Step(ops.Dismiss(), section)


def _needed_for(case: CreateCase) -> str:
    """The section that asks for it, "" for none. Raises Unsupported for what takes the rights of root."""
    if case.linux.netDevices:
        if case.host.euid != 0:
            raise Unsupported("linux.netDevices: network devices are not supported for rootless containers")
        return NET_DEVICES
    if case.has("mount"):
        for index, mount in enumerate(case.spec.mounts or ()):
            if is_id_mapped(mount):
                if case.host.euid != 0:
                    raise Unsupported(f"mounts[{index}]: id-mapped mounts are not supported for rootless containers")
                return ID_MAPPED
    return ""


def is_id_mapped(mount: Mount) -> bool:
    """Whether a mount shows other owners than its source: it has maps, or an option that says so."""
    options = mount.options or ()
    return bool(mount.uidMappings or mount.gidMappings or "idmap" in options or "ridmap" in options)


def id_map(mount: Mount) -> tuple[int, str, str]:
    """Flags and maps that BIND gets for this mount; of ``idmap`` and ``ridmap`` the later word counts."""
    if not is_id_mapped(mount):
        return 0, "", ""
    from utsuwa.linux.idmaps import text

    words = [word for word in mount.options or () if word in ("idmap", "ridmap")]
    recursive = ops.ID_MAP_RECURSIVE if words[-1:] == ["ridmap"] else 0
    return ops.ID_MAP | recursive, text(mount.uidMappings or ()), text(mount.gidMappings or ())

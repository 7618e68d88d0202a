"""Cgroups managed by writing to the cgroup file systems directly, the way of runc's ``cgroupfs`` driver.

Where a container's cgroup is:

=============================  ==============================================  =====================================
``linux.cgroupsPath``          cgroup v1 and hybrid, in each hierarchy          cgroup v2
=============================  ==============================================  =====================================
``/a/b``                       ``<mount point>/a/b``                            ``<mount point>/a/b``
``a/b``                        ``<mount point>/<our own cgroup there>/a/b``     ``<mount point>/<its parent>/a/b``
absent                         as ``<container id>``                            as ``<container id>``
=============================  ==============================================  =====================================

On v2 our own cgroup has a process in it, us, and so can't give controllers to cgroups below it ("no internal
processes", cgroups(7)); its parent can. On v1 our own cgroup may differ from hierarchy to hierarchy.
"""

from __future__ import annotations

from utsuwa import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.cgroup.manager import Manager
    from utsuwa.linux.host import Host


def open_manager(host: Host, cgroups_path: str | None, container_id: str) -> Manager:
    """The manager for ``linux.cgroupsPath``; makes nothing yet.

    InvalidArgument when the path is unusable, FailedPrecondition when the host has no cgroup mount.
    """
    if not host.cgroup_mounts:
        raise errors.FailedPrecondition("no cgroup file system is mounted: mount cgroup2 at /sys/fs/cgroup")
    relative = not (cgroups_path or "").startswith("/")
    path = clean(cgroups_path or container_id)
    # Someone without rights who asked for no place in particular can do without a cgroup.
    unprivileged = host.euid != 0 or host.in_user_namespace
    optional = unprivileged and not cgroups_path
    # A process needs one of the two versions only: each import is 0.3 ms of every command.
    if host.cgroup_mode == "v2":
        from utsuwa.cgroup.v2 import V2Manager

        top = host.cgroup_mounts[""]
        base = _own(host, "").rpartition("/")[0] if relative else ""
        return V2Manager(top, f"{top}{base}{path}", unprivileged=unprivileged, optional=optional)
    from utsuwa.cgroup.v1 import V1Manager

    mounts = _hierarchies(host)
    paths = {}
    for joint, mount_point in mounts.items():
        base = _own(host, joint.partition(",")[0]).rstrip("/") if relative else ""
        paths[joint] = f"{mount_point}{base}{path}"
    return V1Manager(mounts, paths, unprivileged=unprivileged, optional=optional)


def _hierarchies(host: Host) -> dict[str, str]:
    """Mount point by the controllers mounted there together: ``cpu,cpuacct``."""
    joints: dict[str, list[str]] = {}
    for controller, mount_point in host.cgroup_mounts.items():
        joints.setdefault(mount_point, []).append(controller)
    return {",".join(controllers): mount_point for mount_point, controllers in joints.items()}


def _own(host: Host, controller: str) -> str:
    """Our own cgroup as a path below the mount point; inside of a container only a part of the tree is mounted."""
    own = host.cgroup_paths.get(controller, "/")
    root = host.cgroup_roots.get(controller, "/").rstrip("/")
    if own == root or own.startswith(f"{root}/"):
        own = own[len(root) :]
    return clean(own, allow_root=True)


def load(saved: dict[str, Any]) -> Manager:
    """The manager that ``Manager.save()`` described; Internal when it is something else."""
    try:
        if saved["version"] == "systemd":
            from utsuwa.cgroup.systemd import manager

            return manager.load(saved)
        if saved["version"] == "v2":
            from utsuwa.cgroup.v2 import V2Manager

            top = saved["mount"]
            path = _below(top, saved["path"])
            return V2Manager(top, path, unprivileged=bool(saved["unprivileged"]), absent=bool(saved["absent"]))
        from utsuwa.cgroup.v1 import V1Manager

        mounts = saved["mounts"]
        paths = {controllers: _below(mounts[controllers], path) for controllers, path in saved["paths"].items()}
        return V1Manager(mounts, paths, unprivileged=bool(saved["unprivileged"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise errors.Internal(f"saved cgroup manager: {error!r} is missing or wrong") from error


def is_frozen(saved: dict[str, Any]) -> bool:
    """What the manager that ``Manager.save()`` described says of frozen(), for lists of many: on v1 by one file."""
    if saved.get("version") != "v1":
        return load(saved).frozen()
    path = next((path for keys, path in saved["paths"].items() if "freezer" in keys.split(",")), None)
    try:
        with open(f"{path}/freezer.state", "rb", buffering=0) as file:
            return file.read(16).strip() != b"THAWED"
    except OSError:
        return False


def _below(top: object, path: object) -> str:
    """``path``, which is a cgroup in the hierarchy mounted at ``top``; TypeError for what we can't have written."""
    below = type(top) is str and type(path) is str and len(top) > 1 and path.startswith(f"{top}/")
    if type(path) is str and below and "\0" not in path and ".." not in path.split("/"):
        return path
    from utsuwa.spec.record import shown

    raise TypeError(f"{shown(path)} below {shown(top)}")


def clean(path: str, *, allow_root: bool = False) -> str:
    """``path`` with one leading slash and without ``.``, ``..`` and empty components; ``..`` stops at the top.

    InvalidArgument for a path that ends up at the top itself: a container can't own the root cgroup.
    """
    if "\0" in path or "\n" in path:
        raise errors.InvalidArgument("linux.cgroupsPath: contains a NUL or newline character")
    kept: list[str] = []
    for component in path.split("/"):
        if component == "..":
            del kept[-1:]
        elif component not in ("", "."):
            kept.append(component)
    if not kept and not allow_root:
        raise errors.InvalidArgument(f'linux.cgroupsPath: "{path}" is the root cgroup: name one below it')
    return "/" + "/".join(kept)

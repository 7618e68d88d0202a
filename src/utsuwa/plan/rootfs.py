"""The root: made in the container's mount namespace, so that nothing of it stays behind, and entered last."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument, Unsupported
from utsuwa.linux.mounts import MOUNT_ATTR_RDONLY, MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE, MS_UNBINDABLE, PROPAGATIONS
from utsuwa.plan import ops
from utsuwa.plan.plan import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from utsuwa.plan.case import Case, CreateCase
    from utsuwa.spec.mount import Mount

_ROOT = "config.md#root"
_PROPAGATION = "config-linux.md#rootfs-mount-propagation"


def prepare(case: CreateCase) -> Iterator[Step]:
    """Part from the host's mounts and take the root."""
    if not case.has("mount"):
        return
    yield Step(ops.RootPropagation(_propagation_before(case)), _PROPAGATION)
    mounts = [mount for mount in case.options.root_mounts if not mount.target]
    if len(mounts) > 1:
        raise Unsupported(f"{case.options.root}: a root of {len(mounts)} mounts, only one can be made")
    yield Step(_root(mounts[0], case.options.root) if mounts else ops.RootBind(case.options.root), _ROOT)


def _propagation_before(case: CreateCase) -> int:
    """Slave all over, so that nothing goes back to the host, unless sharing is just what is asked for.

    The private forms wait until after the pivot: a volume that asks for rslave could not be one beneath a private tree.
    """
    flags = PROPAGATIONS.get(case.linux.rootfsPropagation or "", 0)
    return flags if flags & MS_SHARED else MS_SLAVE | MS_REC


def place(case: CreateCase) -> str:
    """Where on the host the root is while the container is prepared: a bound directory stays where it was."""
    bound = (mount.source for mount in case.options.root_mounts if mount.type == "bind" and not mount.target)
    return next(bound, case.options.root)


def _root(mount: Mount, at: str) -> ops.Op:
    """The root as a snapshotter describes it: an overlay, or a directory as it is."""
    if mount.type == "bind":
        return ops.RootBind(mount.source)
    if mount.type != "overlay":
        raise Unsupported(f"{at}: a root of type {mount.type}, only overlay and bind can be made")
    rest = [
        word for word in mount.options if word.partition("=")[0] not in ("lowerdir", "upperdir", "workdir", "ro", "rw")
    ]
    lower = split_lower(mount.option("lowerdir") or "")
    if not lower:
        raise InvalidArgument(f"{at}: an overlay without lowerdir")
    return ops.RootOverlay(at, lower, mount.option("upperdir") or "", mount.option("workdir") or "", tuple(rest))


def split_lower(value: str) -> tuple[str, ...]:
    """The directories of ``lowerdir=a:b``; a colon or backslash of a name is written with a backslash before it."""
    if "\\" not in value:
        return tuple([part for part in value.split(":") if part])
    parts, escaped = [""], False
    for letter in value:
        if letter == ":" and not escaped:
            parts.append("")
        elif letter == "\\" and not escaped:
            escaped = True
            continue
        else:
            parts[-1] += letter
        escaped = False
    return tuple([part for part in parts if part])


def chroot(case: Case) -> Step:
    """The root of a container that sees the host's mounts."""
    root = case.spec.root
    return Step(ops.Chroot(case.options.root, int(bool(root and root.readonly))), _ROOT)


def enter(case: CreateCase) -> Iterator[Step]:
    """Leave the host's file systems behind for good."""
    if not case.has("mount"):
        yield chroot(case)
        return
    flags = PROPAGATIONS.get(case.linux.rootfsPropagation or "", 0)
    if case.options.no_pivot:
        if flags & MS_PRIVATE:  # what the host unmounts later would stay mounted here, out of everybody's sight
            raise InvalidArgument("linux.rootfsPropagation: [r]private is not safe without pivot_root")
        yield Step(ops.MoveRoot(), "pivot_root(2)")
    else:
        yield Step(ops.Pivot(), _ROOT)
    if flags and not flags & MS_UNBINDABLE:
        yield Step(ops.Propagate("/", flags), _PROPAGATION)


def forbid_binds(case: CreateCase) -> Iterator[Step]:
    """An unbindable root, now that nothing in it is bound any more: read-only paths are binds of themselves."""
    flags = PROPAGATIONS.get(case.linux.rootfsPropagation or "", 0)
    if case.has("mount") and flags & MS_UNBINDABLE:
        yield Step(ops.Propagate("/", flags), _PROPAGATION)


def seal(case: CreateCase) -> Iterator[Step]:
    """Make the root read-only, now that everything in it exists."""
    root = case.spec.root
    asked = root and root.readonly
    given = any("ro" in mount.options for mount in case.options.root_mounts if not mount.target)
    if case.has("mount") and (asked or given):
        yield Step(ops.Remount("/", MOUNT_ATTR_RDONLY), _ROOT)

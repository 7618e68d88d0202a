"""config.json's mounts, in listed order, beneath the root that is not entered yet."""

from __future__ import annotations

import os

from utsuwa.errors import InvalidArgument
from utsuwa.linux.mounts import MOUNT_ATTR__ATIME, MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_RDONLY, parse
from utsuwa.plan import cgroupmounts, deputy, labels, ops
from utsuwa.plan.plan import Step
from utsuwa.spec.record import shown
from utsuwa.spec.runtime import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from utsuwa.linux.mounts import Options
    from utsuwa.plan.case import CreateCase

_MOUNTS = "config.md#mounts"

# What may be put over a file of procfs: views of the container's own limits (lxcfs), and two switches that CRIU and
# FIPS need. Anything else under /proc could stand in for a file that a runtime trusts (CVE-2019-16884, CVE-2025-52881).
_OVER_PROC = (
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
)

# File systems whose super block is one for many mounts, or lives in memory: read-only is a matter of the mount alone.
_PSEUDO = ("proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "bpf", "debugfs", "tracefs", "securityfs")


_SUBDIRECTORY = "X-mount.subdir="
"""Of mount(8): a directory or file beneath the source, which nobody else is asked where it is."""


class Placed:
    """A mount of the configuration, read once: where it is from, what its options amount to, where it goes."""

    __slots__ = ("mount", "options", "path", "target")

    def __init__(self, path: str, mount: Mount, root: str) -> None:
        """``path``: where it stands in the configuration; ``root``: the directory of the root on the host."""
        self.path = path
        self.mount = mount
        self.options = parse(mount.options)
        self.target = inside(destination(mount.destination), root)

    @property
    def is_dev(self) -> bool:
        """This is the file system that holds the device nodes."""
        return self.target == "/dev" and "remount" not in self.options.actions


def listed(case: CreateCase) -> list[Placed]:
    """What the caller puts beneath the root, then the mounts of the configuration; read at the first call."""
    if case.placed is None:
        root = case.options.root
        case.placed = [*_beneath(case)]
        case.placed += [Placed(f"mounts[{index}]", mount, root) for index, mount in enumerate(case.spec.mounts or ())]
    return case.placed


def attach(case: CreateCase) -> Iterator[Step]:
    """All mounts, in order."""
    if case.has("mount"):
        for placed in listed(case):
            yield from _attach(case, placed)
    elif case.spec.mounts:
        case.warnings.append("mounts: left out, because the container shares the host's mount namespace")


def _beneath(case: CreateCase) -> Iterator[Placed]:
    """Mounts of the root that have a target, in the words of the specification."""
    for mount in case.options.root_mounts:
        if mount.target:
            options = (*(("rbind",) if mount.type == "bind" else ()), *mount.options)
            spelled = Mount(destination=mount.target, type=mount.type, source=mount.source, options=options)
            yield Placed(f"root mount {mount.target}", spelled, case.options.root)


def destination(path: str) -> str:
    """An absolute destination without detours; a relative one counts from "/" (config.md#mounts, deprecated)."""
    return os.path.normpath("/" + path.lstrip("/"))


def inside(target: str, root: str) -> str:
    """A destination that is spelled with the root's own path in front counts from the root (as runc understands it)."""
    if target.startswith(root) and root != "/" and target[len(root) :][:1] in ("", "/"):
        return target[len(root) :] or "/"
    return target


def _attach(case: CreateCase, placed: Placed) -> Iterator[Step]:
    path, mount, options, target = placed.path, placed.mount, placed.options, placed.target
    _refuse(placed)
    if options.bind and options.data:
        _warn_of_parameters(case, placed)
    rest = options.propagation
    if "remount" in options.actions:
        yield from _remount(options, target)
    elif options.bind:
        yield _bind(case, placed)
        rest = rest[1:]
    elif mount.type == "cgroup":
        yield from cgroupmounts.attach(case, path, options, target)
    else:
        yield _fresh(case, placed)
        yield from labels.top(case, mount.type or "", target)
        rest = rest[1:]
    for flags in rest:
        yield Step(ops.Propagate(target, flags), _MOUNTS)


def _refuse(placed: Placed) -> None:
    """What must not be mounted, or can't be by this version."""
    path, mount, options, target = placed.path, placed.mount, placed.options, placed.target
    if target == "/":
        raise InvalidArgument(f"{path}.destination: mounting on / is not allowed, the root is root.path")
    if "tmpcopyup" in options.actions and (mount.type != "tmpfs" or options.bind):
        raise InvalidArgument(f"{path}.options: tmpcopyup is for tmpfs, not for {mount.type or 'a bind mount'}")
    if target == "/proc":
        # A bind of the host's procfs is how engines share a pid namespace without the right to mount a new one.
        if not (mount.type == "proc" or (options.bind and os.path.normpath(mount.source or "") == "/proc")):
            raise InvalidArgument(f"{path}.destination: only procfs can be mounted at /proc")
    elif target.startswith("/proc/") and target not in _OVER_PROC:
        raise InvalidArgument(f"{path}.destination: {target} can't be mounted because it is inside /proc")


def _warn_of_parameters(case: CreateCase, placed: Placed) -> None:
    """A bind mount shows a file system that is there already: mount(2) ignores what is meant for the making of one.

    Runtimes pass on what they don't know (config.md#mounts), so ``mode=755`` is no error; but whoever writes it may
    believe in it. Words that could be taken for flags were refused before (spec/validate.py).
    """
    words = [shown(word) for word in placed.options.data if not word.startswith(_SUBDIRECTORY)]
    if words:
        case.warnings.append(f"{placed.path}.options: {', '.join(words)} left out, without effect on a bind mount")


def _remount(options: Options, target: str) -> Iterator[Step]:
    words = (*options.superblock, *(() if options.bind else options.data))
    if options.set or options.clear or words:
        yield Step(ops.Remount(target, options.set, options.clear, 0, words), _MOUNTS)
    if options.rec_set or options.rec_clear:
        yield Step(ops.Remount(target, options.rec_set, options.rec_clear, ops.RECURSIVE), _MOUNTS)


def _bind(case: CreateCase, placed: Placed) -> Step:
    path, mount, options = placed.path, placed.mount, placed.options
    within = [word for word in options.data if word.startswith(_SUBDIRECTORY)]
    if not mount.source:
        raise InvalidArgument(f"{path}.source: a bind mount needs one")
    id_map, uids, gids = deputy.id_map(mount)
    bind = ops.Bind(
        source=os.path.join(case.options.bundle, mount.source),
        target=placed.target,
        recursive=int("rbind" in options.actions),
        set=options.set,
        clear=_cleared(options, mount),
        rec_set=options.rec_set,
        rec_clear=options.rec_clear,
        propagation=options.propagation[0] if options.propagation else 0,
        # Any attribute that is named makes the others what they are by default: so mount(8) came to be understood.
        flags=id_map | (ops.WHOLE if options.set or options.clear else 0),
        uid_map=uids,
        gid_map=gids,
        subdirectory=within[-1].removeprefix(_SUBDIRECTORY) if within else "",
    )
    return Step(bind, _MOUNTS)


def _cleared(options: Options, mount: Mount) -> int:
    """What a bind clears of its source's attributes. Access times are kept unless a way to keep them is named, and then
    are that way alone; ``atime``, ``diratime`` and ``norelatime`` name none (mount(2), MS_REMOUNT).
    """
    access_times = MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME
    if options.set & access_times or "relatime" in (mount.options or ()):
        return (options.clear | access_times) & ~(options.set & MOUNT_ATTR_NODIRATIME)
    return options.clear & ~access_times


def open_sources(case: CreateCase) -> Iterator[Step]:
    """Sources of binds, opened while the process has its caller's rights: the way may be closed to others."""
    if not case.has("mount") or not case.has("user"):
        return
    binds = [placed for placed in listed(case) if placed.options.bind and placed.mount.source]
    if binds:
        paths = tuple([os.path.join(case.options.bundle, str(placed.mount.source)) for placed in binds])
        recursive = tuple([int("rbind" in placed.options.actions) for placed in binds])
        yield Step(ops.OpenSources(paths, recursive), "user_namespaces(7)")


def _fresh(case: CreateCase, placed: Placed) -> Step:
    """A new file system. Recursive attributes are plain ones here: nothing is mounted beneath it yet."""
    mount, options = placed.mount, placed.options
    fstype = mount.type or ""
    bits = options.set | options.rec_set
    data = [*options.superblock, *options.data, *labels.context(case, fstype)]
    if bits & MOUNT_ATTR_RDONLY and fstype not in _PSEUDO:
        data.insert(
            0, "ro"
        )  # of the super block too: a device that can't be written, or must not be recovered by journal
    source, flags = mount.source or fstype, 0
    if fstype in ("proc", "sysfs"):
        flags |= ops.ORDINARY_DIRECTORY
    if fstype == "sysfs" and case.confined_ids:
        # Without a network namespace of its own user namespace there is no sysfs to be had (mount_namespaces(7)).
        source, flags = "/sys", flags | ops.FALLBACK_BIND
    if _is_sealed_late(placed):
        bits &= ~MOUNT_ATTR_RDONLY
    if fstype == "tmpfs":
        flags |= 0 if any(word.startswith("mode=") for word in data) else ops.INHERIT_MODE
        flags |= ops.COPY_UP if "tmpcopyup" in options.actions else 0
    if fstype == "devpts":
        data = [word for word in data if not _unmapped_gid(case, word)]
    first = options.propagation[0] if options.propagation else 0
    return Step(ops.Mount(fstype, source, placed.target, tuple(data), bits, first, flags), _MOUNTS)


def _unmapped_gid(case: CreateCase, word: str) -> bool:
    """``gid=5`` where the user namespace has no group 5: the kernel refuses it, and terminals work without."""
    key, _, value = word.partition("=")
    return key == "gid" and value.isascii() and value.isdigit() and len(value) < 11 and not case.maps_gid(int(value))


def _is_sealed_late(placed: Placed) -> bool:
    """Its read-only attribute waits until everything in it exists: every tmpfs, and whatever is at /dev."""
    return not placed.options.bind and (placed.mount.type == "tmpfs" or placed.is_dev)


def seal(case: CreateCase) -> Iterator[Step]:
    """Make those read-only that had to be written first."""
    if not case.has("mount"):
        return
    for placed in listed(case):
        options = placed.options
        read_only = (options.set | options.rec_set) & MOUNT_ATTR_RDONLY
        if read_only and _is_sealed_late(placed) and "remount" not in options.actions:
            yield Step(ops.Remount(placed.target, MOUNT_ATTR_RDONLY), _MOUNTS)

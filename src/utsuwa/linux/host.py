"""What this host is like, as plain facts: everything besides the Spec that a plan depends on.

``probe()`` reads a handful of files under /proc, once per process, in less than a millisecond. Tests build a ``Host``
by hand, so that a plan for a cgroup v2 machine can be made and read on any other.
"""

from __future__ import annotations

import os

from utsuwa.linux.capabilities import ALL
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Observed = tuple[bytes, bytes, bytes, bytes, bytes, bytes, int, int, bool]

UNIFIED = ""
"""The key of the cgroup v2 hierarchy in ``cgroup_mounts`` and ``cgroup_paths``, as in ``0::/`` of /proc/PID/cgroup."""


class Host(Record):
    """Facts about the machine and about this process.

    ``cgroup_mode``: "v1", "v2", "hybrid" (v1 with a cgroup2 mount beside), or "none" where no hierarchy is mounted.
    ``cgroup_mounts``: controller ("memory", "name=systemd", "" for v2) -> mount point, shared by co-mounted ones.
    ``cgroup_roots``: the same keys -> which cgroup is mounted there ("/" but inside of a container).
    ``cgroup_paths``: the same keys -> the cgroup of this process (cgroups(7)).
    ``bounding``, ``permitted``: capability masks of this process. ``last_capability``: the kernel's highest number.
    ``oom_score_adj``: what this process has, below which only CAP_SYS_RESOURCE goes (proc(5)).
    """

    cgroup_mode: str = "none"
    cgroup_mounts: dict[str, str] = {}
    cgroup_roots: dict[str, str] = {}
    cgroup_paths: dict[str, str] = {}
    bounding: int = ALL
    permitted: int = ALL
    last_capability: int = 40
    euid: int = 0
    egid: int = 0
    in_user_namespace: bool = False
    oom_score_adj: int = 0
    has_kcore: bool = True


def probe(known: tuple[Observed, dict[str, Any]] | None = None) -> Host:
    """The facts of this machine and this process. ``known``: what was observed once, and the facts' fields then."""
    observed = observe()
    if known and known[0] == observed:
        return Host.restored(known[1])
    return facts(observed)


def observe() -> Observed:
    """All that the facts are drawn from: they are the same as long as this is."""
    status = _read("/proc/self/status")
    return (
        _read("/proc/self/mountinfo"),
        status[status.find(b"\nCap") : status.find(b"\nNoNewPrivs")],
        _read("/proc/self/cgroup"),
        _read("/proc/sys/kernel/cap_last_cap", is_number=True),
        _read("/proc/self/uid_map"),
        _read("/proc/self/oom_score_adj", is_number=True),
        os.geteuid(),
        os.getegid(),
        os.access("/proc/kcore", os.F_OK),
    )


def facts(observed: Observed) -> Host:
    """What an observation says."""
    mountinfo, capabilities, cgroups, last_capability, uid_map, oom_score_adj, euid, egid, has_kcore = observed
    mounts, roots = _cgroup_mounts(mountinfo)
    status = _status(capabilities)
    return Host(
        cgroup_mode=_mode(mounts),
        cgroup_mounts=mounts,
        cgroup_roots=roots,
        cgroup_paths=_cgroup_paths(cgroups),
        bounding=int(status[b"CapBnd"], 16),
        permitted=int(status[b"CapPrm"], 16),
        last_capability=int(last_capability or b"40"),
        euid=euid,
        egid=egid,
        in_user_namespace=_is_not_initial(uid_map),
        oom_score_adj=int(oom_score_adj or b"0"),
        has_kcore=has_kcore,
    )


def in_user_namespace() -> bool:
    """This process is in another user namespace than the initial one, where some things are refused to root."""
    return _is_not_initial(_read("/proc/self/uid_map"))


def _is_not_initial(uid_map: bytes) -> bool:
    return uid_map.split() != [b"0", b"0", b"4294967295"]


def boot() -> bytes:
    """Which boot of this machine it is (random(4)); b"" where procfs does not tell."""
    return _read("/proc/sys/kernel/random/boot_id")


def cgroups_of(pid: int) -> dict[str, str]:
    """The cgroups of process ``pid`` by the keys of ``Host.cgroup_paths``; none when it is gone."""
    return _cgroup_paths(_read(f"/proc/{pid}/cgroup"))


def _read(path: str, *, is_number: bool = False) -> bytes:
    """A whole file of procfs; b"" where there is none."""
    try:
        return read_file(path, is_number=is_number)
    except OSError:
        return b""


def read_file(path: str, *, is_number: bool = False) -> bytes:
    """A whole file of procfs or the like, of which a number comes in one piece. io.open would import codecs and cost
    more than the read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if is_number:
            return os.read(fd, 64)
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)


def _status(data: bytes) -> dict[bytes, bytes]:
    """/proc/PID/status (proc(5)): the lines with capability masks."""
    found = {b"CapBnd": b"0", b"CapPrm": b"0"}
    for line in data[data.find(b"\nCap") :].split(b"\n"):
        key, _, value = line.partition(b":")
        if key in found:
            found[key] = value
    return found


def _cgroup_mounts(mountinfo: bytes) -> tuple[dict[str, str], dict[str, str]]:
    """Mount points and roots by controller from /proc/PID/mountinfo; the first visible mount of a hierarchy counts."""
    mounts: dict[str, str] = {}
    roots: dict[str, str] = {}
    covers: set[str] = set()  # where something that is mounted later hides one of them
    for line in mountinfo.decode("utf-8", "surrogateescape").split("\n"):
        if " - cgroup" not in line:
            if mounts and line and (point := _unescaped(line.split(" ", 5)[4])) in covers:
                _cover(mounts, point)
            continue
        before, _, after = line.partition(" - ")
        fields, (fstype, _, options) = before.split(" ", 5), after.split(" ", 2)
        point = _unescaped(fields[4])
        for key in (UNIFIED,) if fstype == "cgroup2" else _controllers(options):
            if key not in mounts:
                mounts[key] = point
                roots[key] = _unescaped(fields[3])
        while point not in covers:
            covers.add(point)
            point = point.rpartition("/")[0] or "/"
    return mounts, {key: roots[key] for key in mounts}


def _cover(mounts: dict[str, str], point: str) -> None:
    """Forget the hierarchies that a later mount of something else at ``point`` hides from view."""
    below = point if point.endswith("/") else point + "/"
    for key, mount in list(mounts.items()):
        if mount == point or mount.startswith(below):
            del mounts[key]


# Super options of a v1 hierarchy that do not name a controller (cgroups(7), kernel/cgroup/cgroup-v1.c).
_NOT_CONTROLLERS = frozenset(
    ("rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "favordynmods", "none", "seclabel")
)


def _controllers(options: str) -> list[str]:
    return [
        option
        for option in options.split(",")
        if option not in _NOT_CONTROLLERS and not option.startswith("release_agent=")
    ]


def _unescaped(field: str) -> str:
    """mountinfo writes space, tab, newline and backslash as three octal digits."""
    if "\\" not in field:
        return field
    parts = field.split("\\")
    return parts[0] + "".join([chr(int(part[:3], 8)) + part[3:] for part in parts[1:]])


def _cgroup_paths(data: bytes) -> dict[str, str]:
    """/proc/PID/cgroup: controller -> path in its hierarchy."""
    paths: dict[str, str] = {}
    for line in os.fsdecode(data).split("\n"):
        if line:
            _, controllers, path = line.split(":", 2)
            for controller in controllers.split(","):
                paths[controller] = path
    return paths


def _mode(mounts: dict[str, str]) -> str:
    """Decided as systemd does: by what is mounted at the top (a lone cgroup2 mount anywhere counts as v2)."""
    if not mounts:
        return "none"
    if UNIFIED not in mounts:
        return "v1"
    return "v2" if len(mounts) == 1 else "hybrid"

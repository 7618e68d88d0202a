"""The engine of an ordinary user: everything happens in a user namespace in which that user is root.

The first command makes the namespace, with the ranges of /etc/subuid and /etc/subgid, and a mount namespace in it; a
process that only sleeps keeps both, and later commands enter them. Its pid is in RUN/rootless.
"""

from __future__ import annotations

import os
from fcntl import LOCK_EX, flock

from utsuwa.errors import FailedPrecondition, PermissionDenied, Unsupported, from_oserror
from utsuwa.runtime.process import start_time
from utsuwa.spec.runtime import IDMapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.spec.request import RunRequest
    from utsuwa.spec.runtime import Linux, Mount, Spec

_CLONE_NEWUSER = 0x10000000
_SLEEP = ("/bin/sleep", "/usr/bin/sleep")
_PING = "net.ipv4.ping_group_range"
_FLAGS = ("nosuid", "noexec", "nodev", "ro")
_TTY = 5
_QUEUES = "/dev/mqueue"
_HOLDER, _LOCK = "rootless", "rootless.lock"


def directories() -> tuple[str, str]:
    """Where a user's engine keeps things: below XDG_DATA_HOME, and below XDG_RUNTIME_DIR."""
    home = os.environ.get("XDG_DATA_HOME") or f"{os.path.expanduser('~')}/.local/share"
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/utsuwa-{os.getuid()}"
    return f"{home}/utsuwa", f"{runtime}/utsuwa"


def enter(run: str) -> None:
    """Become root in the user namespace of this user's engine, which is made if it is not there. Raises
    FailedPrecondition, PermissionDenied and Unsupported in words that say what the host lacks.
    """
    try:
        os.makedirs(run, 0o700, exist_ok=True)
        if os.stat(run).st_uid != os.getuid():
            raise PermissionDenied(f"the run directory {run} is somebody else's: set XDG_RUNTIME_DIR")
        lock = os.open(f"{run}/{_LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise from_oserror(error, f"use the run directory {run}") from error
    try:
        flock(lock, LOCK_EX)
        _join(_holder(f"{run}/{_HOLDER}") or _make(f"{run}/{_HOLDER}"))
    finally:
        os.close(lock)


def _holder(path: str) -> int:
    """The pid of the process that keeps the namespaces, 0 when it is gone."""
    try:
        with open(path, "rb", buffering=0) as file:
            pid, started = map(int, file.read().split())
    except (OSError, ValueError):
        return 0
    return pid if start_time(pid) == started else 0


def _make(path: str) -> int:
    """Fork the process that keeps the namespaces, map its ids, and write down who it is; its pid."""
    from utsuwa.linux import idmaps

    made, tell = os.pipe2(os.O_CLOEXEC)
    wait, go = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.close(made)
        os.close(go)
        _keep(tell, wait)
    os.close(tell)
    os.close(wait)
    try:
        complaint = os.read(made, 4096)
        if complaint != b"!":
            raise Unsupported(f"this host lets no ordinary user make a user namespace: {complaint.decode()}")
        idmaps.write(pid, *_maps())
        os.write(go, b"!")
        if os.read(made, 1):  # nothing comes but the end, by the program's start
            raise FailedPrecondition("the process that keeps the user namespace did not start")
    finally:
        os.close(made)
        os.close(go)
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb", buffering=0) as file:
        file.write(f"{pid} {start_time(pid)}\n".encode())
    os.rename(temporary, path)
    return pid


def _keep(tell: int, wait: int) -> None:
    """The life of that process. Never returns."""
    from utsuwa.linux import mounting

    try:
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        mounting.unshare(_CLONE_NEWUSER)
        os.write(tell, b"!")
        if not os.read(wait, 1):
            os._exit(1)
        mounting.leave_mounts()
        os.chdir("/")
        program = next(path for path in _SLEEP if os.access(path, os.X_OK))
        os.execv(program, ["sleep", "infinity"])
    except (OSError, StopIteration) as error:
        os.write(tell, (getattr(error, "strerror", "") or "there is no sleep(1)").encode())
    finally:
        os._exit(1)


def _maps() -> tuple[tuple[IDMapping, ...], tuple[IDMapping, ...]]:
    """Root is the user, and the ids from 1 on are those that /etc/subuid and /etc/subgid lend."""
    import pwd

    uid, gid = os.getuid(), os.getgid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return _map(uid, "/etc/subuid", {name, str(uid)}), _map(gid, "/etc/subgid", {name, str(uid)})


def _map(own: int, path: str, names: set[str]) -> tuple[IDMapping, ...]:
    found, inside = [IDMapping(containerID=0, hostID=own, size=1)], 1
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [line.strip().split(":") for line in file]
    except FileNotFoundError:
        lines = []
    for fields in lines:
        if len(fields) == 3 and fields[0] in names and fields[1].isdigit() and fields[2].isdigit():
            found.append(IDMapping(containerID=inside, hostID=int(fields[1]), size=int(fields[2])))
            inside += int(fields[2])
    return tuple(found)


def _join(pid: int) -> None:
    """Enter the user namespace, and then the mount namespace, which takes us to its root."""
    from utsuwa.linux import mounting

    here = os.getcwd()
    try:
        for kind, flag in (("user", _CLONE_NEWUSER), ("mnt", mounting.CLONE_NEWNS)):
            fd = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                mounting.setns(fd, flag)
            finally:
                os.close(fd)
        os.chdir(here)
    except OSError as error:
        raise from_oserror(error, "enter the user namespace of the engine") from error


def adapt(spec: Spec, request: RunRequest, *, systemd: bool = True) -> Spec:
    """A configuration without what an ordinary user can't have; ``systemd``: that one's systemd may be asked.

    Raises Unsupported for limits without a cgroup.
    """
    from utsuwa.engine import delegation

    assert spec.linux is not None  # the engine composed it
    resources, kinds, driver = spec.linux.resources, set(), delegation.driver(systemd)
    if request.seldom and request.seldom.device_rules:
        raise Unsupported("unsupported: --device-cgroup-rule (an ordinary user can't load such rules)")
    _check_user(request.user or "")
    if driver == delegation.NONE:
        refuse_limits(request)
        resources, kinds = None, {"cgroup"}
    elif resources is not None:
        resources = resources.replace(devices=None)
    shown = [_shown(mount, spec.linux) for mount in spec.mounts or () if mount.type not in kinds]
    mounts = tuple(mount for mount in shown if mount.source != _QUEUES or os.path.isdir(_QUEUES))
    namespaces = tuple(each for each in spec.linux.namespaces or () if each.type not in kinds)
    # The range of groups that may ping ends with one that is not mapped here, and is refused then.
    sysctl = {name: value for name, value in (spec.linux.sysctl or {}).items() if name != _PING} or None
    place = _place(request, (spec.linux.cgroupsPath or "").rpartition("/")[2], driver == delegation.SYSTEMD)
    linux = spec.linux.replace(cgroupsPath=place, resources=resources, namespaces=namespaces, sysctl=sysctl)
    return spec.replace(mounts=mounts, linux=linux)


def _check_user(asked: str) -> None:
    """Raise Unsupported for a number that no id of the host's stands for; names are looked up inside, later."""
    for number, kind in zip(asked.split(":"), ("uid", "gid"), strict=False):
        if number.isascii() and number.isdigit() and not _is_mapped(int(number), kind):
            raise Unsupported(f"unsupported: {kind} {number} (this user has no such id: see /etc/sub{kind})")


def _shown(mount: Mount, linux: Linux) -> Mount:
    """What shows a namespace of the host's can only be bound from there: to mount it is for who owns the namespace.
    The group of terminals is only there where it was lent.
    """
    if mount.type == "devpts" and not _is_mapped(_TTY):
        return mount.replace(options=tuple(word for word in mount.options or () if word != f"gid={_TTY}"))
    of_host = {"proc": "pid", "mqueue": "ipc"}.get(mount.type or "")
    if of_host is None or linux.namespace(of_host) is not None:
        return mount
    options = ("rbind", "rprivate", *(word for word in mount.options or () if word in _FLAGS))
    return mount.replace(type="bind", source="/proc" if of_host == "pid" else _QUEUES, options=options)


def _is_mapped(number: int, kind: str = "gid") -> bool:
    """Some id of the host's stands for this one."""
    with open(f"/proc/self/{kind}_map", "rb", buffering=0) as file:
        lines = [tuple(map(int, line.split())) for line in file.read().splitlines()]
    return any(first <= number < first + count for first, _, count in lines)


def _place(request: RunRequest, identifier: str, systemd: bool) -> str | None:
    """``cgroupsPath``: a scope of the user's systemd, or nothing: then the runtime takes what it can have."""
    parent = request.seldom.cgroup_parent if request.seldom else ""
    if parent and not (systemd and parent.endswith(".slice")):
        raise Unsupported(f"unsupported: --cgroup-parent {parent} (an ordinary user names a slice, of the own systemd)")
    return f"{parent}:utsuwa:{identifier}" if systemd else None


def refuse_limits(request: RunRequest) -> None:
    """Raise Unsupported for a limit: containers have no cgroup."""
    seldom = request.seldom
    asked = {
        "memory": request.memory,
        "memory-swap": request.memory_swap,
        "cpus": request.nano_cpus,
        "cpu-shares": request.cpu_shares,
        "cpuset-cpus": request.cpuset_cpus,
        "pids-limit": request.pids_limit and request.pids_limit > 0,
        "memory-reservation": seldom and seldom.memory_reservation,
        "cpu-quota": seldom and seldom.cpu_quota,
        "cpu-period": seldom and seldom.cpu_period,
        "cpuset-mems": seldom and seldom.cpuset_mems,
        "blkio-weight": seldom and seldom.blkio_weight,
    }
    for name, value in asked.items():
        if value:
            raise Unsupported(
                f"unsupported: --{name} (this user has no systemd, and no cgroup was lent: containers have no cgroup)"
            )

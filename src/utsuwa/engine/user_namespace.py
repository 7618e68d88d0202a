"""The namespaces of an ordinary user's engine: everything happens in a user namespace in which that user is root.

The first command makes the namespace, with the ranges of /etc/subuid and /etc/subgid, and a mount namespace in it; a
process that only sleeps keeps both, and later commands enter them. Its pid is in RUN/rootless. When it has ended, by
itself after a day or because it was killed, who comes next finds the namespaces by another process that lives there,
and leaves such a process in them again; where nobody lives, nothing is lost by making new ones.
"""

from __future__ import annotations

import os
import stat
from _signal import SIGKILL
from fcntl import LOCK_EX, flock

from utsuwa.errors import Error, FailedPrecondition, PermissionDenied, Unsupported, from_oserror
from utsuwa.runtime.process import send, start_time
from utsuwa.spec.runtime import IDMapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_CLONE_NEWUSER = 0x10000000
_NS_GET_PARENT = 0xB702
_SLEEP = ("/bin/sleep", "/usr/bin/sleep")
_LONG = "86400"
"""Seconds: a run directory that was a program's, and is not used again, does not keep a process for ever."""
_HOLDER, _LOCK = "rootless", "rootless.lock"


def directories() -> tuple[str, str]:
    """Where a user's engine keeps things: below XDG_DATA_HOME, and below XDG_RUNTIME_DIR; nothing is looked for where
    UTSUWA_ROOT and UTSUWA_RUN say that already. Raises FailedPrecondition, PermissionDenied.
    """
    home = os.environ.get("XDG_DATA_HOME") or ("" if os.environ.get("UTSUWA_ROOT") else _home())
    runtime = os.environ.get("XDG_RUNTIME_DIR") or ("" if os.environ.get("UTSUWA_RUN") else _temporary())
    return f"{home}/utsuwa", f"{runtime}/utsuwa"


def _home() -> str:
    found = os.path.expanduser("~")
    if not found.startswith("/"):
        raise FailedPrecondition("this user has no home directory: set HOME, XDG_DATA_HOME or UTSUWA_ROOT")
    return f"{found}/.local/share"


def _temporary() -> str:
    """A directory where everybody may make one, which has to be this user's alone."""
    path = f"/tmp/utsuwa-{os.getuid()}"
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        state = os.lstat(path)
        if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o077:
            raise PermissionDenied(f"{path} is not this user's alone: set XDG_RUNTIME_DIR") from None
    except OSError as error:
        raise from_oserror(error, f"make {path}") from error
    return path


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
        keeper = _holder(f"{run}/{_HOLDER}")
        if keeper:
            _join(keeper)
        elif _find(run):
            _hold(f"{run}/{_HOLDER}")
        else:
            _join(_make(f"{run}/{_HOLDER}"))
    finally:
        os.close(lock)


def forsake(run: str, holder: tuple[int, int]) -> None:
    """End the process that keeps the namespaces where nobody can find it any more: the run directory has gone."""
    if not os.path.exists(f"{run}/{_HOLDER}"):
        send(*holder, SIGKILL)


def holder(run: str) -> tuple[int, int]:
    """The process that keeps the namespaces that this one has entered, and when it began."""
    pid = _holder(f"{run}/{_HOLDER}")
    return pid, start_time(pid) or 0


def _holder(path: str) -> int:
    """The pid of the process that keeps the namespaces, 0 when it is gone."""
    try:
        with open(path, "rb", buffering=0) as file:
            pid, started = map(int, file.read().split())
    except (OSError, ValueError):
        return 0
    return pid if start_time(pid) == started else 0


def _find(run: str) -> bool:
    """Enter the namespaces by another process that lives there; False when there is none."""
    from utsuwa.linux import mounting

    if other := _inhabitant(run):
        _join(other)
    elif other := _survivor(run):
        _join(other, mounts=False)
        mounting.leave_mounts()
    return bool(other)


def _inhabitant(run: str) -> int:
    """The pid of another process in the namespaces, 0 when there is none: a container's keeper, for instance."""
    from utsuwa.monitor.inhabitants import living
    from utsuwa.monitor.records import RUN_FILE, Run, read

    try:
        containers = os.listdir(f"{run}/monitors")
    except FileNotFoundError:
        containers = []
    for identifier in containers:
        found = read(Run, f"{run}/monitors/{identifier}", RUN_FILE)
        if isinstance(found, Run) and start_time(found.monitor) == found.monitorStart:
            return found.monitor
    return next(iter(living(run)), 0)


def _survivor(run: str) -> int:
    """The pid of a container's process, 0 when there is none: all of ours were killed, and it went on.

    Its mounts are the container's own. Its user namespace is ours if we have made it from here, and one that it has
    made itself is not to be entered.
    """
    from utsuwa.runtime.record import Store

    store, here = Store(f"{run}/runtime"), os.stat("/proc/self/ns/user").st_ino
    for identifier in store.names():
        found = store.glance(identifier)
        if found and _parent(found[0]) == here:
            return found[0]
    return 0


def _parent(pid: int) -> int:
    """The number of the user namespace in which that of ``pid`` was made, 0 where we may not know (ioctl_ns(2))."""
    from fcntl import ioctl

    try:
        space = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        parent = ioctl(space, _NS_GET_PARENT)
    except OSError:
        return 0
    finally:
        os.close(space)
    try:
        return os.fstat(parent).st_ino
    finally:
        os.close(parent)


def _hold(path: str) -> None:
    """Leave a process in the namespaces that this one has entered."""
    begun, tell = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            _detach()
            _sleep()
        finally:
            os._exit(1)
    os.close(tell)
    os.read(begun, 1)  # nothing comes but the end, by the program's start
    os.close(begun)
    _write_down(path, pid)


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
        try:
            idmaps.write(pid, *_maps())
        except Error as error:
            raise error.within("use the ranges of /etc/subuid and /etc/subgid") from error
        os.write(go, b"!")
        if os.read(made, 1):  # nothing comes but the end, by the program's start
            raise FailedPrecondition("the process that keeps the user namespace did not start")
    finally:
        os.close(made)
        os.close(go)
    _write_down(path, pid)
    return pid


def _write_down(path: str, pid: int) -> None:
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb", buffering=0) as file:
        file.write(f"{pid} {start_time(pid)}\n".encode())
    os.rename(temporary, path)


def _keep(tell: int, wait: int) -> None:
    """The life of that process. Never returns."""
    from utsuwa.linux import mounting

    try:
        _detach()
        mounting.unshare(_CLONE_NEWUSER)
        os.write(tell, b"!")
        if not os.read(wait, 1):
            os._exit(1)
        mounting.leave_mounts()
        _sleep()
    except (OSError, StopIteration) as error:
        os.write(tell, (getattr(error, "strerror", "") or "there is no sleep(1)").encode())
    finally:
        os._exit(1)


def _detach() -> None:
    """Have no terminal, and none of what the command has open."""
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)


def _sleep() -> NoReturn:
    """Sleep, with nothing in memory. Raises OSError, StopIteration without such a program."""
    os.chdir("/")
    program = next(path for path in _SLEEP if os.access(path, os.X_OK))
    os.execv(program, ["sleep", _LONG])


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


def _join(pid: int, *, mounts: bool = True) -> None:
    """Enter the user namespace, and then the mount namespace, which takes us to its root."""
    from utsuwa.linux import mounting

    here = os.getcwd()
    try:
        for kind, flag in (("user", _CLONE_NEWUSER), ("mnt", mounting.CLONE_NEWNS))[: 1 + mounts]:
            fd = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                mounting.setns(fd, flag)
            finally:
                os.close(fd)
        os.chdir(here)
    except OSError as error:
        raise from_oserror(error, "enter the user namespace of the engine") from error

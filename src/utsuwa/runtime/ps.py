"""`urun ps`: the processes of a container, as the host sees them."""

from __future__ import annotations

import os

from utsuwa.errors import FailedPrecondition, NotFound
from utsuwa.runtime.record import STOPPED, Store

_DEFAULT = ("-ef",)
_PLACES = ("/usr/bin/ps", "/bin/ps")


def processes(store: Store, identifier: str) -> list[int]:
    """The pids of all processes in the container's cgroup and below it, or of its pid namespace where it has no cgroup;
    none when it has stopped.
    """
    container = store.open(identifier)
    if container.status() == STOPPED:
        return []
    manager = container.manager()
    return (manager.pids() if manager is not None else []) or _of_namespace(container.document.pid)


def _of_namespace(first: int) -> list[int]:
    """The processes of the pid namespace that ``first`` is in, which is that one alone where it is ours, too."""
    space = _pid_namespace(first)
    if not space or space == _pid_namespace(os.getpid()):
        return [first]
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit() and _pid_namespace(int(name)) == space)


def _pid_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:  # it has ended, or is somebody else's
        return ""


def table(pids: list[int], arguments: list[str]) -> str:
    """What ps(1) with these arguments (default -ef) prints of ``pids``: its header and their lines."""
    lines = _ps(arguments or list(_DEFAULT)).splitlines(keepends=True)
    if not lines:
        return ""
    headings = lines[0].split()
    if "PID" not in headings:
        raise FailedPrecondition("could not find a PID column in the output of ps: ask for one, for example with -ef")
    column = headings.index("PID")
    wanted = {str(pid) for pid in pids}
    return lines[0] + "".join([line for line in lines[1:] if wanted.intersection(line.split()[column : column + 1])])


def _ps(arguments: list[str]) -> str:
    """Run ps(1), whose output goes to a memfd: nobody has to pump a pipe."""
    program = next((place for place in _PLACES if os.access(place, os.X_OK)), None)
    if program is None:
        raise NotFound("ps is not installed: use --format json, or install procps")
    output = os.memfd_create("ps", os.MFD_CLOEXEC)
    try:
        pid = os.posix_spawn(
            program,
            ["ps", *arguments],
            dict(os.environ),
            file_actions=((os.POSIX_SPAWN_DUP2, output, 1),),
        )
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status:
            raise FailedPrecondition(f"ps {' '.join(arguments)}: exit status {status}")
        size = os.lseek(output, 0, os.SEEK_END)
        return os.pread(output, size, 0).decode(errors="replace")
    finally:
        os.close(output)

"""`urun exec`: one more process in a running container: a second plan, the same executor."""

from __future__ import annotations

import os
from errno import EBUSY, ENOENT

from utsuwa.errors import Error, FailedPrecondition, InvalidArgument, NotFound
from utsuwa.init.channel import REQUEST
from utsuwa.init.spawn import spawn
from utsuwa.linux.host import UNIFIED, cgroups_of, probe
from utsuwa.plan import ops
from utsuwa.plan.exec import execute as plan_execute
from utsuwa.plan.options import CgroupJoin, ExecOptions
from utsuwa.runtime.create import admit, check_console, check_preserved, end, write_pid_file
from utsuwa.runtime.draft import seccomp, security_modules
from utsuwa.runtime.process import start_time
from utsuwa.runtime.record import PAUSED, RUNNING, STOPPED, Container, Store
from utsuwa.runtime.undo import Undo, hold_signals
from utsuwa.spec.record import Record
from utsuwa.spec.runtime import Linux, Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.init.spawn import Child
    from utsuwa.plan.plan import Plan
    from utsuwa.runtime.console import Terminal


class ExecRequest(Record):
    """A process for a container; the fields are those of CreateRequest where they have the same name.

    ``cgroups``: ``[controller[,controller]:]path`` below the container's cgroup.
    """

    id: str
    process: Process
    detach: bool = False
    console: int = -1
    foreground: bool = False
    pid_file: str = ""
    pidfd_socket: str = ""
    preserve_fds: int = 0
    cgroups: tuple[str, ...] = ()
    ignore_paused: bool = False
    user: str | None = None
    subreaper: bool = True
    debug: Callable[[Plan], None] | None = None


def execute(store: Store, request: ExecRequest) -> int:
    """Run the process; in the foreground until it ends, giving its exit code, 0 when detached.

    Raises NotFound, FailedPrecondition when the container is not running, OpFailed when the process can't be run.
    """
    from utsuwa.runtime.run import attend

    check_preserved(request.preserve_fds)
    terminal = bool(request.process.terminal)
    check_console(terminal, request.detach, request.console >= 0)
    screen: Terminal | None = None
    if terminal and not request.detach:
        from utsuwa.runtime.console import Terminal

        screen = Terminal()
        request = request.replace(
            console=screen.theirs.fileno(), foreground=True, process=screen.sized(request.process)
        )
    container = store.open(request.id)
    check_state(container, request.ignore_paused)
    with Undo() as undo:
        if screen is not None:
            undo.push(screen.show_rest)
        child = launch(container, request, undo, store.filters)
        if request.pidfd_socket:
            from utsuwa.runtime.console import send_pidfd

            send_pidfd(request.pidfd_socket, child.pid, "setns")
        if request.pid_file:
            write_pid_file(request.pid_file, child.pid)
    return 0 if request.detach else attend(child.pid, screen)


def check_state(container: Container, ignore_paused: bool) -> None:
    """Raise FailedPrecondition unless a process can be run there."""
    status = container.status()
    if status == STOPPED:
        raise FailedPrecondition("cannot exec in a stopped container")
    if status == PAUSED and not ignore_paused:
        raise FailedPrecondition("cannot exec in a paused container (use --ignore-paused to override)")


def launch(container: Container, request: ExecRequest, undo: Undo, filters: str) -> Child:
    """Start the process and bring it to where it runs its program.

    A container may hand its controllers down to cgroups of its own, and then has no room for processes in its own
    cgroup ("no internal processes", cgroups(7)); or its first process has moved, and somebody has removed that cgroup.
    Then the process goes where the first one is.
    """
    cgroup = joining(container, request.cgroups)
    try:
        return _launch(container, request, undo, filters, cgroup)
    except (FailedPrecondition, NotFound) as error:
        reason = _no_room(error)
        if cgroup is None or not cgroup.unified or not reason:
            raise
        if request.cgroups:
            told = f"exec: adding pid of the process to cgroups {cgroup.unified}: {reason}"
            raise FailedPrecondition(told) from error
    return _launch(container, request, undo, filters, _beside_first(container, cgroup))


def _launch(container: Container, request: ExecRequest, undo: Undo, filters: str, cgroup: CgroupJoin | None) -> Child:
    document = container.document
    spec = container.spec()
    pidfd = open_init(container)
    try:
        keyring = None if (document.options or {}).get("no_new_keyring") else f"_ses.{container.id}"
        options = ExecOptions(
            root=document.rootfs,
            cgroup=cgroup,
            console=request.console >= 0,
            foreground=request.foreground,
            keyring=keyring,
            preserve_fds=request.preserve_fds,
            user=request.user,
            seccomp=seccomp(spec, filters),
            security_modules=security_modules(request.process, spec.linux or Linux()),
        )
        plan = plan_execute(request.process, spec, probe(), options)
        if request.debug is not None:
            request.debug(plan)
        slots = {ops.PIDFD: pidfd}
        if request.console >= 0:
            slots[ops.CONSOLE_SOCKET] = request.console
        hold_signals()
        child = spawn(plan, slots)
    finally:
        os.close(pidfd)
    undo.push(end, child)
    while (report := child.next()) is not None:
        if report.kind == REQUEST:
            if report.value == ops.SECCOMP_LISTENER:
                from utsuwa.runtime.agent import introduce

                introduce(child.descriptor(), spec, document, RUNNING, child.pid)
            elif report.value == ops.JOIN_SCOPE:
                admit(container.manager(), child)
            child.reply()
    return child


def open_init(container: Container) -> int:
    """A pidfd of the container's first process, checked to be that very one."""
    document = container.document
    try:
        descriptor = os.pidfd_open(document.pid)
    except OSError as error:
        raise FailedPrecondition("cannot exec in a stopped container") from error
    if start_time(document.pid) != document.startTime:
        os.close(descriptor)
        raise FailedPrecondition("cannot exec in a stopped container")
    return descriptor


def joining(container: Container, subdirectories: tuple[str, ...]) -> CgroupJoin | None:
    """The cgroups that the process joins: the container's, or those below it that --cgroup names."""
    manager = container.manager()
    if manager is None:
        return None
    joined, rdt = manager.join(), container.document.rdt()
    resctrl = rdt.directories() if rdt else ()
    if not subdirectories:
        return CgroupJoin(unified=joined.unified, v1=joined.v1, scope=joined.scope, resctrl=resctrl)
    unified, v1 = joined.unified, list(joined.v1)
    for subdirectory in subdirectories:
        controllers, colon, path = subdirectory.rpartition(":")
        relative = _below(path)
        if not colon:
            if v1:
                v1 = [f"{directory}{relative}" for directory in v1]
            unified = unified and f"{unified}{relative}"
            continue
        v1 = _with_subdirectory(container, v1, controllers.split(","), relative)
    for directory in (*v1, *([unified] if unified else [])):
        if not os.path.isdir(directory):
            raise FailedPrecondition(
                f"exec: adding pid of the process to cgroup {directory}: no such file or directory"
            )
    return CgroupJoin(unified=unified, v1=tuple(v1), resctrl=resctrl)


def _no_room(error: Error) -> str:
    """Why the v2 cgroup takes no processes, or that it is not there; "" when a failure is another one."""
    from utsuwa.init.failure import OPEN_CGROUP, OpFailed

    if not isinstance(error, OpFailed):
        return ""
    full = error.errno == EBUSY and isinstance(error.op, ops.Clone)
    absent = error.errno == ENOENT and error.detail == OPEN_CGROUP
    return os.strerror(error.errno).lower() if full or absent else ""


def _beside_first(container: Container, cgroup: CgroupJoin) -> CgroupJoin:
    """``cgroup`` with the v2 cgroup in which the container's first process is now, if this process can see that."""
    place = cgroups_of(container.document.pid).get("", "")
    top = cgroup.unified
    for at in [index for index, letter in enumerate(top) if letter == "/"]:
        if place.startswith(f"{top[at:]}/"):
            return cgroup.replace(unified=top + place[len(top) - at :])
    host = probe()
    mounted, root = host.cgroup_mounts.get(UNIFIED, ""), host.cgroup_roots.get(UNIFIED, "/").rstrip("/")
    if mounted and ".." not in place.split("/") and place.startswith(f"{root}/"):
        return cgroup.replace(unified=mounted + place[len(root) :])
    return cgroup


def _below(path: str) -> str:
    """``path`` with one slash before it, without a way out of the container's own cgroup."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InvalidArgument(f"bad sub cgroup path: {path}")
    return "".join("/" + part for part in parts)


def _with_subdirectory(container: Container, directories: list[str], controllers: list[str], path: str) -> list[str]:
    manager = container.manager()
    known = manager.directories() if manager is not None else {}
    for controller in controllers:
        if controller not in known:
            raise InvalidArgument(f"unknown controller {controller} in --cgroup")
        own = known[controller]
        directories = [f"{own}{path}" if directory == own else directory for directory in directories]
    return directories

"""`urun create`: everything up to the moment before the container's program runs (runtime.md "Create").

:func:`build` is the whole of it, and `run` uses it too, with a plan that does not stop to wait for `start`.
"""

from __future__ import annotations

import os
import time

from utsuwa.cgroup.filesystem import open_manager
from utsuwa.errors import Error, Internal, InvalidArgument
from utsuwa.init.channel import CLONED, REQUEST, WAITING
from utsuwa.init.spawn import spawn
from utsuwa.linux.host import probe
from utsuwa.plan import ops
from utsuwa.plan.create import create as plan_create
from utsuwa.plan.options import CgroupJoin, CreateOptions
from utsuwa.runtime import bundle as bundles
from utsuwa.runtime.process import start_time
from utsuwa.runtime.record import CREATING, SOCKET, Container, Document, Store, replace_file
from utsuwa.runtime.undo import Undo, hold_signals
from utsuwa.spec.record import Record
from utsuwa.spec.runtime import Resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.cgroup.manager import Manager
    from utsuwa.init.spawn import Child
    from utsuwa.linux.host import Host
    from utsuwa.plan.options import Program
    from utsuwa.plan.plan import Plan
    from utsuwa.runtime.bundle import Bundle
    from utsuwa.spec.mount import Mount
    from utsuwa.spec.runtime import Spec

_SIGKILL = 9


class CreateRequest(Record):
    """What `create` and `run` are asked: the bundle, and how to deal with it.

    ``bundle`` and the paths are absolute or relative to the working directory. ``console`` is a connected stream
    socket that takes the terminal's master, -1 without; ``foreground``: that is us, for a terminal of our own.
    ``preserve_fds``: how many descriptors from 3 on the process
    keeps, ``listen_fds`` how many listening sockets come before them.
    ``user``: a name to look up inside, instead of process.user. ``systemd_cgroup``: systemd makes the cgroup.
    """

    id: str
    bundle: str = ""
    console: int = -1
    foreground: bool = False
    pid_file: str = ""
    no_pivot: bool = False
    no_new_keyring: bool = False
    pidfd_socket: str = ""
    preserve_fds: int = 0
    listen_fds: int = 0
    root_mounts: tuple[Mount, ...] = ()
    user: str | None = None
    init: bool = False
    systemd_cgroup: bool = False


def create(store: Store, request: CreateRequest) -> Container:
    """Make a container that waits for `start`. On failure nothing is left of it.

    Raises Conflict for a taken id, NotFound and InvalidArgument for the bundle, and what the kernel says to the plan.
    """
    bundle = bundles.load(request.bundle)
    check_console(bool(bundle.spec.process and bundle.spec.process.terminal), True, request.console >= 0)
    with Undo() as undo:
        container, _ = build(store, request, bundle, undo, await_start=True)
    container.unlock()
    return container


def build(
    store: Store,
    request: CreateRequest,
    bundle: Bundle,
    undo: Undo,
    *,
    await_start: bool,
    meanwhile: Callable[[], object] | None = None,
    draft: Draft | None = None,
) -> tuple[Container, Child]:
    """Make the container's process and bring it to where it waits (or, without ``await_start``, runs its program).

    ``meanwhile`` is called once while the process mounts, which costs its caller no time on a second processor.
    ``draft``: what was worked out of the same request earlier.
    """
    check_preserved(request.listen_fds + request.preserve_fds)
    if request.listen_fds:
        bundle.spec = announce_sockets(bundle.spec, request.listen_fds)
    container = store.create(request.id)
    undo.push(container.unlock)
    undo.push(container.remove)
    draft = draft or Draft(request, bundle, probe())
    manager = draft.manager
    container.adopt_manager(manager)
    container.announce(draft.document)
    manager.create(bundle.linux.resources)
    undo.push(end_cgroup, manager)
    container.keep_config(bundle.config)  # from here on, who is in the cgroup belongs to the container
    plan = draft.plan(await_start, store.filters)
    container.warnings = list(plan.warnings)
    slots = {}
    if request.console >= 0:
        slots[ops.CONSOLE_SOCKET] = request.console
    if await_start:
        slots[ops.START_LISTENER] = listener = listen(container)
    child = spawn(plan, slots)
    if container.document.poststop:
        undo.push(_poststop, container, bundle)
    undo.push(end, child)
    if await_start:
        os.close(listener)
    Conversation(container, bundle, child, manager, runs=not await_start).hold(meanwhile)
    container.complete()
    if request.pidfd_socket:
        from utsuwa.runtime.console import send_pidfd

        send_pidfd(request.pidfd_socket, child.pid, "standard")
    if request.pid_file:
        write_pid_file(request.pid_file, child.pid)
    return container, child


class Draft:
    """What a creation needs to know and can work out without touching the host: cgroups, record, plan."""

    def __init__(self, request: CreateRequest, bundle: Bundle, host: Host) -> None:
        """``host``: what ``probe()`` told this process."""
        self._request, self._bundle, self._host = request, bundle, host
        self.manager = manager_for(request, bundle, host)
        self.document = describe(request, bundle, self.manager)
        self._plan: Plan | None = None

    def settle(self, filters: str) -> None:
        """Make the plan of a process that starts at once, unless making the cgroups decides what is in it."""
        if self._host.euid == 0 and not self._host.in_user_namespace:
            self._plan = self.plan(False, filters)

    def plan(self, await_start: bool, filters: str) -> Plan:
        """The plan, once the cgroups are made."""
        if self._plan is not None and not await_start:
            return self._plan
        choices = options(self._request, self._bundle, self.manager, self.document, await_start, filters)
        return plan_create(self._bundle.spec, self._host, choices)


def manager_for(request: CreateRequest, bundle: Bundle, host: Host) -> Manager:
    """Who manages the container's cgroup: its files, or systemd when that is asked for."""
    path = bundle.linux.cgroupsPath
    if not request.systemd_cgroup:
        return open_manager(host, path, request.id)
    from utsuwa.cgroup.systemd.manager import open_manager as open_unit

    return open_unit(host, path, request.id, bundle.spec.annotations)


def describe(request: CreateRequest, bundle: Bundle, manager: Manager) -> Document:
    """What is known before anything is made."""
    spec = bundle.spec
    namespaces = bundle.linux.namespaces or ()
    return Document(
        id=request.id,
        ociVersion=spec.ociVersion,
        bundle=bundle.path,
        rootfs=bundle.rootfs,
        created=now(),
        annotations=spec.annotations,
        cgroup=manager.save(),
        options={"no_pivot": request.no_pivot, "no_new_keyring": request.no_new_keyring},
        ownPidNamespace=any(namespace.type == "pid" and not namespace.path for namespace in namespaces),
        poststart=bool(spec.hooks and spec.hooks.poststart),
        poststop=bool(spec.hooks and spec.hooks.poststop),
    )


def options(
    request: CreateRequest, bundle: Bundle, manager: Manager, document: Document, await_start: bool, filters: str
) -> CreateOptions:
    """What the plan depends on besides the configuration and the host."""
    joining = manager.join()
    return CreateOptions(
        bundle=bundle.path,
        root=bundle.rootfs,
        root_mounts=request.root_mounts,
        cgroup=CgroupJoin(unified=joining.unified, v1=joining.v1, scope=joining.scope, mounts=manager.directories()),
        device_filter=manager.device_program(bundle.linux.resources),
        console=request.console >= 0,
        foreground=request.foreground,
        await_start=await_start,
        no_pivot=request.no_pivot,
        keyring=None if request.no_new_keyring else f"_ses.{request.id}",
        preserve_fds=request.listen_fds + request.preserve_fds,
        user=request.user,
        init=request.init,
        seccomp=seccomp(bundle.spec, filters),
        state_json=lambda status: _state_around_pid(document, status),
    )


def _state_around_pid(document: Document, status: str) -> tuple[str, str]:
    from utsuwa.runtime.hooks import state_around_pid

    return state_around_pid(document, status)


def seccomp(spec: Spec, filters: str) -> Program | None:
    """The compiled linux.seccomp, from the cache directory ``filters`` if it is there; None when there is none."""
    if spec.linux is None or spec.linux.seccomp is None:
        return None
    from utsuwa.seccomp.cache import compiled

    return compiled(spec.linux.seccomp, filters)


class Conversation:
    """What the parent does while the child carries out its plan."""

    def __init__(self, container: Container, bundle: Bundle, child: Child, manager: Manager, *, runs: bool) -> None:
        self._container = container
        self._bundle = bundle
        self._child = child
        self._manager = manager
        self._runs = runs  # its program without waiting for start
        self._prepared = False

    def hold(self, meanwhile: Callable[[], object] | None = None) -> None:
        """Answer the child until it waits for `start`, or runs its program. Raises OpFailed for what failed."""
        child = self._child
        while (report := child.next()) is not None:
            if report.kind == CLONED:
                # While the child mounts, we set its limits: the two don't depend on each other, but for the devices.
                self._manager.apply(self._resources(), devices=False)
                self._save()
                if meanwhile is not None:
                    meanwhile()
            elif report.kind == REQUEST:
                self._answer(report.value)
                child.reply()
            elif report.kind == WAITING:
                return

    def _answer(self, request: int) -> None:
        spec = self._bundle.spec
        if request == ops.JOIN_SCOPE:
            admit(self._manager, self._child, self._resources())
        elif request == ops.ID_MAPS:
            from utsuwa.runtime.idmaps import write

            linux = self._bundle.linux
            write(self._child.pid, linux.uidMappings or (), linux.gidMappings or ())
        elif request == ops.CREATE_RUNTIME_HOOKS:
            self._save()
            self._run_hooks(spec)
        elif request == ops.READY:
            # Not earlier: on v1 everything is denied for a moment, and the child makes its device nodes until now.
            self._manager.apply(Resources(devices=self._resources().devices))
            self._save()
            if self._runs:
                hold_signals()
        elif request == ops.SECCOMP_LISTENER:
            from utsuwa.runtime.agent import introduce

            document = self._container.document
            introduce(self._child.descriptor(), spec, document, CREATING, document.pid)

    def _resources(self) -> Resources:
        return self._bundle.linux.resources or Resources()

    def _save(self) -> None:
        """Write down which process it is, before anything may depend on it."""
        if self._prepared:
            return
        self._prepared = True
        pid = self._child.pid
        self._container.save(pid=pid, startTime=start_time(pid) or 0, cgroup=self._manager.save())

    def _run_hooks(self, spec: Spec) -> None:
        from utsuwa.runtime import hooks

        document = self._container.document
        state = hooks.state_json(document, CREATING, document.pid)
        process = os.pidfd_open(document.pid)
        try:
            for kind in ("prestart", "createRuntime"):
                hooks.run(kind, hooks.of(spec, kind), state, document.bundle, process)
        finally:
            os.close(process)


def admit(manager: Manager | None, child: Child, resources: Resources | None = None) -> None:
    """Let stage 1 of a child, who has asked for it, into the container's unit of systemd."""
    from utsuwa.cgroup.systemd.manager import SystemdManager

    if not isinstance(manager, SystemdManager):
        raise Internal("a process asks for a scope of systemd where there is none")
    manager.admit(child.stage1, resources)


def listen(container: Container) -> int:
    """A listening socket ROOT/ID/start.sock that only we may connect to; the caller owns the descriptor."""
    from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socket

    from utsuwa.runtime.console import through_directory

    server = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        through_directory(f"{container.path}/{SOCKET}", server.bind)
    finally:
        os.umask(before)
    server.listen(1)
    return server.detach()


def check_console(terminal: bool, detached: bool, console_socket: bool) -> None:
    """A pty needs somebody who takes its master: raise InvalidArgument when there is nobody, or no pty."""
    if terminal and detached and not console_socket:
        raise InvalidArgument(
            "cannot allocate tty if urun will detach without setting console socket, use --console-socket"
        )
    if console_socket and not (terminal and detached):
        raise InvalidArgument("cannot use console socket if urun will not detach or allocate tty")


def check_preserved(count: int) -> None:
    """Check that the descriptors 3 … 3+count-1 exist. Raises InvalidArgument."""
    for descriptor in range(3, 3 + count):
        try:
            os.fstat(descriptor)
        except OSError as error:
            number = descriptor - 2
            raise InvalidArgument(f"unable to stat preserved-fd {number} (of {count}): {error.strerror}") from error


def announce_sockets(spec: Spec, count: int) -> Spec:
    """Tell the program of the listening sockets that it inherits (sd_listen_fds(3)); it is pid 1 of its namespace."""
    process = spec.process
    if process is None:
        return spec
    environment = (*(process.env or ()), f"LISTEN_FDS={count}", "LISTEN_PID=1")
    return spec.replace(process=process.replace(env=environment))


def write_pid_file(path: str, pid: int) -> None:
    """Put the pid into a file, decimal and without a newline, in one step."""
    replace_file(os.path.abspath(path), str(pid).encode(), 0o644)


def now() -> str:
    """The time in UTC as RFC 3339 with nanoseconds."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds:09}Z"


def end(child: Child) -> None:
    """Kill the child and collect it, if it got as far as being one; then whoever helped it (deputy.c) is done, too."""
    pid = child.pid
    if pid > 0:
        try:
            os.kill(pid, _SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
    child.close()


def end_cgroup(manager: Manager) -> None:
    """Undo the creation of the cgroups, with whoever is in them."""
    manager.kill(_SIGKILL)
    manager.remove()


def _poststop(container: Container, bundle: Bundle) -> None:
    """A container whose creation fails goes on at step 12 of the lifecycle, which ends with the poststop hooks."""
    from utsuwa.runtime import hooks

    failures = hooks.run_all(
        "poststop", hooks.of(bundle.spec, "poststop"), hooks.state_json(container.document, "stopped", 0), bundle.path
    )
    if failures:
        raise Error("; ".join(failures))

"""`urun create`: everything up to the moment before the container's program runs (runtime.md "Create").

:func:`build` is the whole of it, and `run` uses it too, with a plan that does not stop to wait for `start`.
"""

from __future__ import annotations

import os
from errno import ESRCH

from utsuwa.errors import Error, Internal, InvalidArgument
from utsuwa.init.channel import CLONED, EXECUTING, REQUEST, WAITING
from utsuwa.linux.host import probe
from utsuwa.plan import ops
from utsuwa.runtime import bundle as bundles
from utsuwa.runtime.draft import Draft
from utsuwa.runtime.process import start_time
from utsuwa.runtime.record import CREATED, CREATING, SOCKET, Container, Store, replace_file
from utsuwa.runtime.undo import Interrupted, Undo, hold_signals
from utsuwa.spec.runtime import Resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.cgroup.manager import Manager
    from utsuwa.init.spare import Spare
    from utsuwa.init.spawn import Child
    from utsuwa.runtime.bundle import Bundle
    from utsuwa.runtime.draft import CreateRequest, Started
    from utsuwa.spec.runtime import Spec

_SIGKILL = 9


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
    meanwhile: Callable[[int], object] | None = None,
    draft: Draft | None = None,
    spare: Spare | None = None,
    plug: Callable[[int, tuple[int, ...]], None] | None = None,
    streams: Callable[[], object] | None = None,
) -> tuple[Container, Child]:
    """Make the container's process and bring it to where it waits (or, without ``await_start``, runs its program).

    ``meanwhile`` is called once, with the process's pid, while it mounts: that costs its caller no time on a second
    processor.
    ``draft``: what was worked out of the same request earlier. ``spare``: an executor that waits for a settled one.
    ``plug``: sets up the new network namespace, with ``request.network``; it gets the process's pid, and sockets of
    rtnetlink(7) and netfilter in that namespace, which are then its own.
    ``streams``: makes the container's standard streams our 0, 1 and 2, and may wait for them: called once, as late as
    can be. Without it they are there.
    """
    check_preserved(request.listen_fds + request.preserve_fds)
    if request.listen_fds:
        bundle.spec = announce_sockets(bundle.spec, request.listen_fds)
    container = store.create(request.id)
    undo.push(container.unlock)
    undo.push(container.remove)
    if request.notify:
        from utsuwa.runtime import notify

        notify.prepare(container.path)
        bundle.spec = notify.arranged(bundle.spec, container.path)
        if not await_start:  # else `start` is who waits for it
            container.readiness = notify.Proxy(container.path, request.notify)
    if draft is None:
        draft = Draft.make(request, bundle, probe())
    manager = draft.manager
    container.adopt_manager(manager)
    container.announce(draft.document, draft.record())
    launch = _Launch(container, request, draft, streams)
    if spare and not await_start:
        launch.start_first(spare, undo, store.filters)
    manager.create(draft.resources)
    undo.push(end_cgroup, manager)
    container.keep_config(bundle.config)  # from here on, who is in the cgroup belongs to the container
    if container.document.intelRdt is not None:
        share_out(container, bundle, undo)
    started = launch.started or launch.start(spare, await_start, store.filters)
    child = started.child
    container.warnings = list(started.warnings)
    if container.document.poststop:
        undo.push(_poststop, container, bundle)
    undo.push(end, child)
    talk = Conversation(container, bundle, draft, started, runs=not await_start, plug=plug, streams=launch.streams)
    talk.hold(meanwhile)
    container.complete()
    if request.pidfd_socket:
        from utsuwa.runtime.console import send_pidfd

        send_pidfd(request.pidfd_socket, child.pid, "standard")
    if request.pid_file:
        write_pid_file(request.pid_file, child.pid)
    return container, child


class _Launch:
    """The start of the process, once: before its cgroups are made where that can be, or else behind that."""

    def __init__(
        self, container: Container, request: CreateRequest, draft: Draft, streams: Callable[[], object] | None
    ) -> None:
        self._container, self._draft = container, draft
        self.streams = streams  # None as soon as they are ours
        self._slots = {ops.CONSOLE_SOCKET: request.console} if request.console >= 0 else {}
        self._first: Started | None = None

    @property
    def started(self) -> Started | None:
        """What was started first, unless it has turned out that it can't go on: its plan is for new cgroups."""
        if self._first and not self._draft.manager.fresh:
            self._first.child.close()
            return None
        return self._first

    def start_first(self, spare: Spare, undo: Undo, filters: str) -> None:
        """Start it if it can do without its cgroups for a while: it mounts on one processor, we make them on another.

        Until it is told that they are there, it ends by itself as soon as we hang up.
        """
        if not self._draft.can_start_first():
            return
        undo.push(self._draft.manager.retreat)
        if not self._draft.manager.begin():
            return
        self._first = self._draft.start_first(spare, self._slots, filters, streams=self.streams is None)
        undo.push(self._first.child.close)

    def start(self, spare: Spare | None, await_start: bool, filters: str) -> Started:
        """Start it, the cgroups being there."""
        if self.streams:
            self.streams()
            self.streams = None
        if not await_start:
            return self._draft.start(spare, self._slots, False, filters)
        listener = listen(self._container)
        try:
            return self._draft.start(spare, {**self._slots, ops.START_LISTENER: listener}, True, filters)
        finally:
            os.close(listener)


def share_out(container: Container, bundle: Bundle, undo: Undo) -> None:
    """Make the container's class of service."""
    from utsuwa.spec.validate_seldom import schemata

    group, wanted = container.document.rdt(), bundle.linux.intelRdt
    assert group is not None and wanted is not None
    undo.push(group.remove)
    group.make(schemata(wanted))


class Conversation:
    """What the parent does while the child carries out its plan."""

    def __init__(
        self,
        container: Container,
        bundle: Bundle,
        draft: Draft,
        started: Started,
        *,
        runs: bool,
        plug: Callable[[int, tuple[int, ...]], None] | None = None,
        streams: Callable[[], object] | None = None,
    ) -> None:
        self._container = container
        self._plug, self._streams = plug, streams
        self._bundle = bundle
        self._started = started
        self._child = started.child
        self._manager = draft.manager
        self._owner = draft.owner()
        self._resources = draft.resources or Resources()
        self._recalled = draft.recalled  # one with a user namespace is never kept
        self._runs = runs  # its program without waiting for start
        self._saved = False
        self._unplugged: Error | None = None

    def hold(self, meanwhile: Callable[[int], object] | None = None) -> None:
        """Answer the child until it waits for `start`, or runs its program. Raises OpFailed for what failed.

        Who sees the program run sends signals to it: one that comes before we have heard of that is passed on, too.
        """
        if self._streams:
            self._streams()
        if self._started.awaits_cgroups:
            self._child.reply(streams=self._streams is not None)  # the cgroups are there
        try:
            self._converse(meanwhile)
        except Interrupted as stop:
            if not (self._runs and self._child.executes()):
                raise
            hold_signals()
            os.kill(self._child.pid, stop.number)
            self._converse(None)

    def _converse(self, meanwhile: Callable[[int], object] | None) -> None:
        child = self._child
        while (report := child.next()) is not None:
            if report.kind == CLONED:
                # While the child mounts, we set its limits: the two don't depend on each other, but for the devices.
                self._manager.apply(self._resources, devices=False)
                if self._owner is not None:
                    self._manager.delegate(self._owner)
                self._save()
                if not self._recalled:
                    self._check_joined_maps()
                if self._started.asks_once and not self._devices_are_left():
                    child.reply()  # before it asks: then neither waits for the other
                if meanwhile is not None:
                    meanwhile(child.pid)
            elif report.kind == REQUEST and report.value == ops.NETWORK:
                self._plug_in(report.descriptors)
            elif report.kind == REQUEST and report.value != ops.CGROUPS:  # which has its answer
                self._answer(report.value)
                child.reply()
            elif report.kind == EXECUTING and self._runs:
                hold_signals()
                self._container.complete()  # while the program is loaded; if that fails, all of it is undone
            elif report.kind == WAITING:
                return
        if self._unplugged:
            raise self._unplugged

    def _plug_in(self, descriptors: tuple[int, ...]) -> None:
        """Set up the network. The process does not wait for it: when it has ended meanwhile, it says itself why."""
        assert self._plug is not None  # who asks for the sockets brings what uses them
        try:
            self._plug(self._child.pid, descriptors)
        except Error as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno != ESRCH:
                raise
            self._unplugged = error

    def _check_joined_maps(self) -> None:
        """A user namespace that is joined has its maps; the configuration may repeat them, but not change them."""
        linux = self._bundle.linux
        namespace = linux.namespace("user")
        if namespace is not None and namespace.path and (linux.uidMappings or linux.gidMappings):
            from utsuwa.linux.idmaps import check

            check(self._child.pid, linux.uidMappings or (), linux.gidMappings or ())

    def _answer(self, request: int) -> None:
        if request == ops.JOIN_SCOPE:
            admit(self._manager, self._child, self._resources)
        elif request == ops.ID_MAPS:
            from utsuwa.runtime.idmaps import write

            linux = self._bundle.linux
            write(self._child.pid, linux.uidMappings or (), linux.gidMappings or ())
        elif request == ops.CREATE_RUNTIME_HOOKS:
            self._save()
            self._run_hooks(self._bundle.spec)
        elif request == ops.READY:
            # Not earlier: on v1 everything is denied for a moment, and the child makes its device nodes until now.
            if self._devices_are_left():
                self._manager.apply(Resources(devices=self._resources.devices))
            self._save()
        elif request == ops.SECCOMP_LISTENER:
            from utsuwa.runtime.agent import introduce

            document = self._container.document
            introduce(self._child.descriptor(), self._bundle.spec, document, CREATING, document.pid)

    def _devices_are_left(self) -> bool:
        """On v1 the process guards itself where it can; on v2 a filter was attached before it was."""
        return not self._started.guards_devices and "devices" in self._manager.directories()

    def _save(self) -> None:
        """Write down which process it is, before anything may depend on it."""
        if self._saved:
            return
        self._saved = True
        pid = self._child.pid
        since, cgroup = start_time(pid) or 0, self._manager.save()
        if cgroup == self._container.document.cgroup:
            self._container.save_process(pid, since)
        else:
            self._container.save(pid=pid, startTime=since, cgroup=cgroup)

    def _run_hooks(self, spec: Spec) -> None:
        from utsuwa.runtime import hooks

        document = self._container.document
        state = hooks.state_json(document, CREATED, document.pid)  # they come after step 2 of the lifecycle
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
    """Tell the program of the listening sockets that it inherits (sd_listen_fds(3)); EXEC knows its pid."""
    process = spec.process
    if process is None:
        return spec
    environment = (*(process.env or ()), f"LISTEN_FDS={count}", "LISTEN_PID=")
    return spec.replace(process=process.replace(env=environment))


def write_pid_file(path: str, pid: int) -> None:
    """Put the pid into a file, decimal and without a newline, in one step."""
    replace_file(os.path.abspath(path), str(pid).encode(), 0o644)


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

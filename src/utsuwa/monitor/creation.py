"""What the forked creator does: call the runtime in this process, with the container's stdio as its own."""

from __future__ import annotations

import os
from errno import EACCES, EISDIR, ENOENT, ENOEXEC, ENOTDIR

from utsuwa.errors import Error, NotFound, PermissionDenied
from utsuwa.monitor.frames import EXECUTE
from utsuwa.monitor.journal import Note
from utsuwa.monitor.records import Execute, Outline, monitor_directory, places_of, runtime_root
from utsuwa.runtime.bundle import Bundle, read_config
from utsuwa.runtime.create import build
from utsuwa.runtime.draft import CreateRequest, Draft
from utsuwa.runtime.kept import Expected, Kept
from utsuwa.runtime.record import Store
from utsuwa.runtime.start import poststart
from utsuwa.runtime.undo import Undo
from utsuwa.spec.codec import parse
from utsuwa.spec.record import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.init.spare import Spare
    from utsuwa.linux.host import Host

NOT_EXECUTABLE, NO_SUCH_FILE, FAILED, NOT_STARTED = 126, 127, 128, 125


class Creation:
    """A request on its way."""

    def __init__(self, host: Host, spare: Spare | None, expected: Expected | None) -> None:
        """Before there is a request. ``host`` is what ``probe()`` told, ``spare`` an executor that waits."""
        self._host, self._spare, self._expected = host, spare, expected
        self._kept: Kept | None = None
        self._execute: Execute | None = None
        self._start: Outline | None = None
        self._problem: Error | None = None
        self._draft: Draft | None = None
        self._wanted: CreateRequest | None = None

    def prepare(self, kind: int, payload: bytes) -> None:
        """Read the request, and do all that needs no go-ahead. What is wrong is told when it is asked for.

        An executor that is not needed waits for the end: whoever has asked does not wait for it to be gone.
        """
        if kind == EXECUTE:
            self._execute = decode(Execute, parse(payload))
            return
        self._start = Outline.unchecked(parse(payload))
        if self._start.runtime:
            return
        try:
            self._draft = self._settled(self._start)
            if self._spare:
                self._draft.ready(self._spare)
        except Error as error:
            self._problem = error

    def carry_out(self, begin: Callable[[], None], streams: Callable[[], int]) -> tuple[int, int]:
        """The pid, and a descriptor of the mount namespace if that is a new one (or -1).

        ``begin`` waits until we may leave traces. ``streams`` waits for the standard streams, makes them ours, and
        gives the socket that takes the terminal, or -1: a container without one is at work before it has them. The
        journal has the start of a container when we come back.

        To take mounts down needs grace periods of RCU, 1 to 2 ms. The last process of a mount namespace would spend
        them before anybody hears of its end: whoever holds the namespace as well spends them instead.
        """
        begin()
        if self._problem:
            raise self._problem
        if self._execute:
            return execute(self._execute, streams()), -1
        assert self._start is not None
        if self._start.runtime:
            pid = create_elsewhere(self._start, streams())
            Note(self._start.run, self._start.directory, "start").write()
            return pid, _mounts_of(pid)
        return self._create(self._start, streams)

    def _create(self, start: Outline, streams: Callable[[], int]) -> tuple[int, int]:
        assert self._draft is not None and self._wanted is not None
        held: list[int] = []
        notes: list[Note] = []

        def while_it_mounts(pid: int) -> None:
            held.append(_mounts_of(pid))
            notes.append(Note(start.run, start.directory, "start"))

        with Undo() as undo:
            container, child = build(
                Store(runtime_root(start.run)),
                self._wanted.replace(console=streams()) if start.tty else self._wanted,
                self._draft.bundle,
                undo,
                await_start=False,
                meanwhile=while_it_mounts,
                draft=self._draft,
                spare=self._spare,
                plug=lambda pid, sockets: plug(start, pid, sockets),
                streams=None if start.tty else streams,
            )
            poststart(container)
        notes[0].write()
        return child.pid, held[0]

    def finish(self) -> None:
        """Everybody has been told: do what only the next start gains by."""
        self._dismiss_spare()
        if self._start and self._draft and self._kept:
            self._kept.keep(self._draft, self._host, Store(runtime_root(self._start.run)).filters)
            self._kept.point_out()

    def _settled(self, start: Outline) -> Draft:
        """The draft of an earlier start of the same shape, or a new one."""
        store = Store(runtime_root(start.run))
        read = Bundle(start.directory, read_config(start.directory))
        wanted = self._wanted = _wanted(start, read)
        self._kept = Kept(store.drafts, wanted, read, self._expected)
        draft = self._kept.recall(self._host)
        if draft is None:
            draft = Draft.make(wanted, read, self._host)
            draft.settle(store.filters)
        return draft

    def _dismiss_spare(self) -> None:
        if self._spare:
            self._spare.dismiss()
            self._spare = None


def expected(run: str) -> Expected:
    """What the next start in RUN may be like."""
    return Expected(Store(runtime_root(run)).drafts)


def _wanted(start: Outline, bundle: Bundle) -> CreateRequest:
    """What the runtime is asked; a terminal's socket is not there yet, but whether there will be one is known."""
    return CreateRequest(
        id=start.id,
        bundle=start.directory,
        console=0 if start.tty else -1,
        root_mounts=start.mounts,
        user=start.user,
        init=start.init,
        network=start.networks,
        systemd_cgroup=f':utsuwa:{start.id}"'.encode() in bundle.config,  # the engine's word for a scope, found unread
    )


def _mounts_of(pid: int) -> int:
    try:
        return os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # it has ended
        return -1


def execute(request: Execute, console: int) -> int:
    """Run another process in a container; its pid."""
    from utsuwa.runtime.exec import ExecRequest, check_state, launch
    from utsuwa.spec.runtime import Process

    store = Store(runtime_root(request.run))
    container = store.open(request.id)
    check_state(container, ignore_paused=False)
    if container.document.external:
        return execute_elsewhere(store, request, container.document.external, console)
    wanted = ExecRequest(
        id=request.id,
        process=decode(Process, request.process),
        detach=True,
        console=console,
        user=request.user,
    )
    with Undo() as undo:
        child = launch(container, wanted, undo, store.filters)
    return child.pid


def plug(start: Outline, pid: int, sockets: tuple[int, ...]) -> None:
    """Put the container, of which there is a namespace by now, into its networks."""
    from utsuwa.linux.rtnetlink import OF_PROCESS
    from utsuwa.network.plug import Inside, join_all

    with Inside((OF_PROCESS, pid), sockets, start.runtime) as inside:
        join_all(places_of(start), start.id, inside)


def create_elsewhere(start: Outline, console: int) -> int:
    """Have another runtime create and start the container; its pid."""
    from utsuwa.runtime.foreign import Foreign

    with open(f"{start.directory}/config.json", "rb", buffering=0) as file:
        config = file.read()
    directory = monitor_directory(start.run, start.id)
    other = Foreign(Store(runtime_root(start.run)), start.id, start.runtime, directory)
    if start.networks:
        from utsuwa.network import ground

        ground.on(places_of(start), int)  # made here: from the mount namespace of its own that follows nobody sees it

    def plug_in(pid: int) -> None:
        from utsuwa.init.reach import netlink_sockets

        plug(start, pid, netlink_sockets(f"/proc/{pid}/ns/net"))

    return other.start(start.directory, config, start.mounts, console, plug_in if start.networks else None)


def execute_elsewhere(store: Store, request: Execute, command: tuple[str, ...], console: int) -> int:
    """Have another runtime run one more process; its pid."""
    from utsuwa.runtime.foreign import Foreign
    from utsuwa.spec.codec import dumps

    directory = monitor_directory(request.run, request.id)
    return Foreign(store, request.id, command, directory).execute(dumps(request.process).encode(), console)


def docker_code(error: Error) -> int:
    """The exit code that Docker gives a container whose process could not be run (docker/cli, container/run.go)."""
    number = getattr(error, "errno", 0)
    if hasattr(error, "code"):  # what another runtime said
        return int(error.code)
    if not _is_about_the_program(error):
        return NOT_STARTED
    if number in (EACCES, EISDIR, ENOEXEC) or isinstance(error, PermissionDenied):
        return NOT_EXECUTABLE
    if number in (ENOENT, ENOTDIR) or isinstance(error, NotFound):
        return NO_SUCH_FILE
    return NOT_EXECUTABLE


def _is_about_the_program(error: Error) -> bool:
    """The step that failed is the search for the program, or its start."""
    return type(getattr(error, "op", None)).__name__ in ("FindExecutable", "Exec")

"""What the forked creator does: call the runtime in this process, with the container's stdio as its own."""

from __future__ import annotations

from errno import EACCES, EISDIR, ENOENT, ENOEXEC, ENOTDIR

from utsuwa.errors import Error, NotFound, PermissionDenied
from utsuwa.monitor.frames import EXECUTE
from utsuwa.monitor.records import Execute, Start, runtime_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.linux.host import Host
    from utsuwa.runtime.bundle import Bundle
    from utsuwa.runtime.create import CreateRequest, Draft

NOT_EXECUTABLE, NO_SUCH_FILE, FAILED, NOT_STARTED = 126, 127, 128, 125


def prepare(kind: int, payload: bytes, host: Host) -> Callable[[int], int]:
    """Read a request and what it is about; the function that carries it out, given the console (or -1)."""
    from utsuwa.runtime import bundle as bundles
    from utsuwa.runtime.create import Draft
    from utsuwa.runtime.record import Store
    from utsuwa.spec.codec import parse
    from utsuwa.spec.record import decode

    if kind == EXECUTE:
        request = decode(Execute, parse(payload))
        return lambda console: execute(request, console)
    start = decode(Start, parse(payload))
    try:
        bundle = bundles.load(start.directory)
        wanted = _wanted(start)
        draft = Draft(wanted, bundle, host)
        draft.settle(Store(runtime_root(start.run)).filters)
    except Error as error:
        problem = error  # told when it is asked for
        return lambda _console: _fail(problem)
    return lambda console: create(start, wanted.replace(console=console), bundle, draft)


def _fail(error: Error) -> int:
    raise error


def _wanted(start: Start) -> CreateRequest:
    """What the runtime is asked; a terminal's socket is not there yet, but whether there will be one is known."""
    from utsuwa.runtime.create import CreateRequest

    return CreateRequest(
        id=start.id,
        bundle=start.directory,
        console=0 if start.tty else -1,
        root_mounts=start.mounts,
        user=start.user,
        init=start.init,
    )


def create(start: Start, request: CreateRequest, bundle: Bundle, draft: Draft) -> int:
    """Create the container and start it; the pid of its first process. Raises what the runtime raises."""
    from utsuwa.runtime.create import build
    from utsuwa.runtime.record import Store
    from utsuwa.runtime.start import poststart
    from utsuwa.runtime.undo import Undo

    with Undo() as undo:
        store = Store(runtime_root(start.run))
        container, child = build(store, request, bundle, undo, await_start=False, draft=draft)
        poststart(container)
    return child.pid


def execute(request: Execute, console: int) -> int:
    """Run another process in a container; its pid."""
    from utsuwa.runtime.exec import ExecRequest, check_state, launch
    from utsuwa.runtime.record import Store
    from utsuwa.runtime.undo import Undo
    from utsuwa.spec.record import decode
    from utsuwa.spec.runtime import Process

    store = Store(runtime_root(request.run))
    container = store.open(request.id)
    check_state(container, ignore_paused=False)
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


def docker_code(error: Error) -> int:
    """The exit code that Docker gives a container whose process could not be run (docker/cli, container/run.go)."""
    number = getattr(error, "errno", 0)
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

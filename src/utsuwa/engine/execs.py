"""More processes in running containers."""

from __future__ import annotations

from utsuwa.engine import events
from utsuwa.engine.containers import await_started
from utsuwa.engine.status import PAUSED
from utsuwa.errors import Conflict, FailedPrecondition
from utsuwa.identifiers import new_engine_id
from utsuwa.monitor import client
from utsuwa.monitor.records import Execute
from utsuwa.runtime.record import Store
from utsuwa.spec.codec import encode
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.containers import Containers
    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.paths import Paths
    from utsuwa.monitor.client import Connection


class ExecRequest(Record):
    """What a user asks for: ``user``, ``workdir`` and ``env`` are the container's own unless given."""

    command: tuple[str, ...]
    env: tuple[str, ...] = ()
    workdir: str | None = None
    user: str | None = None
    tty: bool = False
    stdin_open: bool = False
    privileged: bool = False


class Execs:
    """The processes that `exec` starts."""

    def __init__(self, paths: Paths, containers: Containers) -> None:
        self._paths, self._containers = paths, containers

    def start(
        self,
        record: ContainerRecord,
        request: ExecRequest,
        *,
        attach: bool = True,
        size: tuple[int, int] = (0, 0),
        execution: str = "",
    ) -> Connection:
        """Start a process; the connection has said STARTED, and with ``attach`` is its stdio. ``execution``: its id,
        which its events are told by.

        Raises FailedPrecondition when the container does not run, Conflict when it is paused, and what the runtime
        says.
        """
        status = self._containers.status(record)
        if not status.alive:
            raise FailedPrecondition(f"container {record.id} is not running")
        if status.name == PAUSED:
            raise Conflict(f"Container {record.name} is paused, unpause the container before exec")
        execution, command = execution or new_engine_id(), " ".join(request.command)
        events.note(self._paths, record, f"exec_create: {command}", execID=execution)
        wanted = Execute(
            id=record.id,
            exec=execution,
            directory=self._paths.container(record.id),
            run=self._paths.run,
            process=encode(self._process(record, request, size)),
            user=request.user or record.user,
            tty=request.tty,
            openStdin=request.stdin_open,
            attach=attach,
            rows=size[0],
            columns=size[1],
        )
        events.note(self._paths, record, f"exec_start: {command}", execID=execution)
        connection = client.request(self._paths.run, wanted)
        try:
            await_started(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _process(self, record: ContainerRecord, request: ExecRequest, size: tuple[int, int]) -> Record:
        """The container's own process with what the request changes; limits and capabilities stay."""
        from utsuwa.linux.capabilities import NAMES
        from utsuwa.spec.runtime import Capabilities, ConsoleSize

        process = Store(self._paths.runtime).open(record.id).spec().process
        assert process is not None  # the engine wrote it
        if record.runtimeCommand:
            from utsuwa.engine.runtimes import with_user

            images, user = self._containers.images, request.user or record.user or "0"
            process = with_user(process, user, images.trees(images.resolve(record.imageId)))
        variables = {entry.partition("=")[0]: entry for entry in process.env or ()}
        if request.tty:
            variables.setdefault("TERM", "TERM=xterm")
        variables |= {entry.partition("=")[0]: entry for entry in request.env}
        every = tuple(NAMES)
        granted = Capabilities(bounding=every, effective=every, permitted=every)
        return process.replace(
            args=request.command,
            env=tuple(variables.values()),
            cwd=request.workdir or process.cwd,
            terminal=request.tty,
            consoleSize=ConsoleSize(height=size[0], width=size[1]) if request.tty and all(size) else None,
            capabilities=granted if request.privileged else process.capabilities,
        )

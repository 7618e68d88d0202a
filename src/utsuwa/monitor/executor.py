"""The keeper of one more process in a container (`utsuwa exec`): like a monitor, but without a log or a record."""

from __future__ import annotations

import os
from _signal import SIGKILL

from utsuwa.errors import Unavailable
from utsuwa.monitor import frames, journal
from utsuwa.monitor.creator import Failed
from utsuwa.monitor.guard import ENDED, name_process
from utsuwa.monitor.keeper import refuse
from utsuwa.monitor.records import Execute
from utsuwa.monitor.relay import Relay
from utsuwa.monitor.stdio import Stdio
from utsuwa.spec.codec import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket

    from utsuwa.monitor.creator import Creator
    from utsuwa.monitor.door import Notice


def execute(request: Execute, connection: int, creator: Creator, control: socket, notice: Notice) -> None:
    """Run the process and stay until it ends; the connection is its only client."""
    from utsuwa.runtime.process import exit_code

    keeper = _Executor(request, control)
    notice.taken()
    try:
        pid = keeper.start(creator)
    except Failed as error:
        refuse(connection, error)
        return
    started = dumps({"pid": pid}).encode()
    if request.attach:
        keeper.relay.attach(connection, owner=True).send(frames.STARTED, started)
    else:
        os.write(connection, frames.pack(frames.STARTED, started))
        os.close(connection)
    creator.dismiss()
    notice.started()
    status = keeper.live()
    ended = {"exitCode": exit_code(status), "signal": status & 0x7F}
    told = {"execID": request.exec, "exitCode": str(ended["exitCode"])}
    journal.note(request.run, request.directory, "exec_die", told)
    keeper.relay.finish(frames.EXITED, dumps(ended).encode())


class _Executor:
    def __init__(self, request: Execute, control: socket) -> None:
        self._request, self._control = request, control
        self._status: int | None = None
        self._pid = 0
        # A backlog has no better place than the engine's run directory.
        directory = os.open(request.run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.relay = Relay(None, directory, self._forward)
        self.relay.watch(control.fileno(), self._told)

    def start(self, creator: Creator) -> int:
        """The pid of the process. Raises Failed."""
        request = self._request
        stdio = Stdio(request.tty, request.openStdin)
        creator.begin()
        creator.go_ahead(stdio)
        self._pid, _ = creator.outcome()
        name_process(self._control, self._pid)
        stdio.connect(self.relay, once=True)
        if request.rows:
            self.relay.resize(request.rows, request.columns)
        return self._pid

    def live(self) -> int:
        """Until the process has ended; its wait status."""
        while self._status is None:
            self.relay.step()
            if self._request.bound and not self.relay.clients:
                self._forward(SIGKILL)
        self.relay.drain()
        return self._status

    def _told(self, _events: int) -> None:
        """The guard says which child has ended. Without a guard nobody can say, and the client is told so by our
        end.
        """
        message = self._control.recv(64)
        if not message:
            raise Unavailable("the monitor of a process was killed")
        pid, status = ENDED.unpack(message)
        if pid == self._pid:
            self._status = status

    def _forward(self, number: int) -> None:
        if self._status is None:
            try:
                os.kill(self._pid, number)
            except (OSError, ValueError):
                pass

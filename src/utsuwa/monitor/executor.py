"""The keeper of one more process in a container (`utsuwa exec`): like a monitor, but without a log or a record."""

from __future__ import annotations

import os

from utsuwa.monitor import frames, reaper
from utsuwa.monitor.creator import Failed
from utsuwa.monitor.keeper import refuse
from utsuwa.monitor.records import Execute
from utsuwa.monitor.relay import Relay
from utsuwa.monitor.stdio import Stdio
from utsuwa.spec.codec import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.monitor.creator import Creator


def execute(request: Execute, connection: int, creator: Creator, wake: int, busy: int) -> None:
    """Run the process and stay until it ends; the connection is its only client."""
    from utsuwa.runtime.process import exit_code

    keeper = _Executor(request)
    try:
        pid = keeper.start(creator, wake)
    except Failed as error:
        refuse(connection, error)
        return
    started = dumps({"pid": pid}).encode()
    if request.attach:
        keeper.relay.attach(connection, owner=True).send(frames.STARTED, started)
    else:
        os.write(connection, frames.pack(frames.STARTED, started))
        os.close(connection)
    os.close(busy)
    status = keeper.live()
    ended = {"exitCode": exit_code(status), "signal": status & 0x7F}
    keeper.relay.finish(frames.EXITED, dumps(ended).encode())


class _Executor:
    def __init__(self, request: Execute) -> None:
        self._request = request
        self._status: int | None = None
        self._pid = 0
        # A backlog has no better place than the engine's run directory.
        directory = os.open(request.run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.relay = Relay(None, directory, self._forward)

    def start(self, creator: Creator, wake: int) -> int:
        """The pid of the process. Raises Failed."""
        request = self._request
        stdio = Stdio(request.tty, request.openStdin)
        self._pid = creator.create(request, frames.EXECUTE, stdio)
        stdio.connect(self.relay, once=True)
        self.relay.watch(wake, lambda _events: self._reap(wake))
        if request.rows:
            self.relay.resize(request.rows, request.columns)
        return self._pid

    def live(self) -> int:
        """Until the process has ended; its wait status."""
        self._reap(-1)
        while self._status is None:
            self.relay.step()
        self.relay.drain()
        return self._status

    def _reap(self, wake: int) -> None:
        if wake >= 0:
            os.read(wake, 512)
        for pid, status in reaper.reap():
            if pid == self._pid:
                self._status = status

    def _forward(self, number: int) -> None:
        if self._status is None:
            try:
                os.kill(self._pid, number)
            except (OSError, ValueError):
                pass

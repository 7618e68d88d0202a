"""The life of a monitor: have the container created, keep its stdio, note its end, clean up.

The creation happens in a process of its own, which then ends and leaves the container to us (we are its subreaper):
everything the runtime needs memory for is gone with it.
"""

from __future__ import annotations

import os

from utsuwa.errors import Conflict, Error
from utsuwa.monitor import frames, reaper
from utsuwa.monitor.creator import Failed
from utsuwa.monitor.ending import empty
from utsuwa.monitor.jsonlog import JsonLog
from utsuwa.monitor.records import (
    EXIT_FILE,
    RUN_FILE,
    SOCKET_FILE,
    Exit,
    Run,
    Start,
    monitor_directory,
    now,
    take_lock,
    write,
)
from utsuwa.monitor.relay import Relay
from utsuwa.monitor.stdio import Stdio
from utsuwa.spec.codec import dumps, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.monitor.creator import Creator


def keep(start: Start, connection: int, creator: Creator, wake: int, busy: int) -> None:
    """Everything, in order. Errors before the container exists go to the connection."""
    directory = monitor_directory(start.run, start.id)
    os.makedirs(directory, 0o700, exist_ok=True)
    lock = take_lock(directory)
    if lock is None:
        refuse(connection, Conflict(f"container {start.id} is running already"))
        return
    try:
        keeper = Keeper(start, directory)
    except OSError:  # the container was removed while its start was under way
        empty(directory, keep_lock=False)
        raise
    try:
        pid = keeper.create(creator, wake)
    except Failed as error:
        keeper.note_failure(error)
        os.close(lock)
        refuse(connection, error)
        return
    keeper.attend(connection, pid)
    os.close(busy)
    keeper.live()
    exit_record = keeper.note_end()
    os.close(lock)
    keeper.relay.finish(frames.EXITED, dumps(encode(exit_record)).encode())


class Keeper:
    """The state of one run."""

    def __init__(self, start: Start, directory: str) -> None:
        self._start, self._directory = start, directory
        self._began = now()
        self._status: int | None = None
        self._pid = 0
        self._log: JsonLog | None = None
        self._bundle = os.open(start.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if start.log:
            self._log = JsonLog(self._bundle, start.log, start.logLimit, start.logFiles)
        self.relay = Relay(self._log, self._bundle, self._forward)

    def create(self, creator: Creator, wake: int) -> int:
        """Have the container created and started; its pid. Raises Failed."""
        self._announce()
        stdio = Stdio(self._start.tty, self._start.openStdin)
        self._pid = creator.create(self._start, frames.START, stdio)
        stdio.connect(self.relay, self._start.stdinOnce)
        self.relay.watch(wake, lambda _events: self._reap(wake))
        if self._start.rows:
            self.relay.resize(self._start.rows, self._start.columns)
        return self._pid

    def _announce(self) -> None:
        """From here on the container counts as started, and what it leaves is ours to clean up."""
        from utsuwa.runtime.process import start_time

        me = os.getpid()
        run = Run(number=self._start.number, monitor=me, monitorStart=start_time(me) or 0, startedAt=self._began)
        write(self._directory, RUN_FILE, run)

    def attend(self, connection: int, pid: int) -> None:
        """Let clients in, first of all the one that asked."""
        self._listen()
        if self._start.attach:
            client = self.relay.attach(connection, owner=True)
            client.send(frames.STARTED, dumps({"pid": pid}).encode())
        else:
            _tell(connection, frames.pack(frames.STARTED, dumps({"pid": pid}).encode()))

    def live(self) -> None:
        """Until the container's process has ended."""
        self._reap(-1)  # it may have, before anybody watched
        while self._status is None:
            self.relay.step()
        self.relay.drain()

    def note_end(self) -> Exit:
        """Write how it ended, and remove what is only of use to a running container (or everything of it)."""
        from utsuwa.monitor.ending import clean, was_out_of_memory
        from utsuwa.runtime.process import exit_code

        if self._log:
            self._log.close()
        status = self._status or 0
        record = Exit(
            number=self._start.number,
            exitCode=exit_code(status),
            signal=status & 0x7F,
            oomKilled=was_out_of_memory(self._start),
            startedAt=self._began,
            finishedAt=now(),
            logLost=self._log.lost if self._log else 0,
        )
        self._write_exit(record)
        clean(self._start, self._directory)
        return record

    def note_failure(self, error: Failed) -> None:
        """Write that it never began, and clean up."""
        from utsuwa.monitor.ending import clean

        if self._log:
            self._log.close()
        record = Exit(number=self._start.number, exitCode=error.code, error=str(error), finishedAt=now())
        self._write_exit(record)
        clean(self._start, self._directory)

    def _write_exit(self, record: Exit) -> None:
        if not self._start.remove:
            try:
                write(self._start.directory, EXIT_FILE, record, durable=True)
            except OSError:  # a full disk: the engine then shows that the end is not known
                pass

    def _listen(self) -> None:
        from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, socket

        folder = os.open(self._directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.unlink(SOCKET_FILE, dir_fd=folder)
        except FileNotFoundError:
            pass
        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
        listener.bind(f"/proc/self/fd/{folder}/{SOCKET_FILE}")
        os.close(folder)
        listener.listen(16)
        self.relay.watch(listener.fileno(), lambda _events: self._accept(listener))

    def _accept(self, listener: object) -> None:
        try:
            connection, _address = listener._accept()  # type: ignore[attr-defined]
        except OSError:
            return
        self.relay.attach(connection)

    def _reap(self, wake: int) -> None:
        if wake >= 0:
            os.read(wake, 512)
        for pid, status in reaper.reap():
            if pid == self._pid:
                self._status = status

    def _forward(self, number: int) -> None:
        """A client's signal for the container's first process; it is our child, so its pid can't be another's."""
        if self._status is None:
            try:
                os.kill(self._pid, number)
            except (OSError, ValueError):
                pass


def refuse(connection: int, error: Error) -> None:
    """Answer a request with what went wrong, and hang up."""
    kind = getattr(error, "kind", type(error).__name__)
    failure = {"kind": kind, "message": str(error), "code": getattr(error, "code", 125)}
    _tell(connection, frames.pack(frames.FAILED, dumps(failure).encode()))


def _tell(connection: int, data: bytes) -> None:
    """Say one last thing and hang up; the client may be gone."""
    try:
        os.write(connection, data)
    except OSError:
        pass
    os.close(connection)

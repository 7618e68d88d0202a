"""The work of a monitor: have the container created, keep its stdio, note its end, clean up.

The creation happens in a process of its own, which then ends and leaves the container to the guard (a subreaper):
whatever becomes of this worker, somebody sees how the container ends. The worker itself ends whenever it is quiet.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, socket

from utsuwa.errors import Conflict, Error
from utsuwa.monitor import frames, journal
from utsuwa.monitor.creator import Failed
from utsuwa.monitor.ending import empty, empty_work
from utsuwa.monitor.guard import ENDED, hand_over, identity, name_process, say_idle, take_over
from utsuwa.monitor.logs import open_log
from utsuwa.monitor.records import (
    EXIT_FILE,
    LASTING_FILE,
    RUN_FILE,
    SOCKET_FILE,
    UNKNOWN_CODE,
    UNKNOWN_END,
    Exit,
    Head,
    Run,
    Start,
    make_monitor_directory,
    moment,
    monitor_directory,
    now,
    read,
    take_lock,
    write,
)
from utsuwa.monitor.relay import Relay
from utsuwa.monitor.stdio import Stdio
from utsuwa.spec.codec import dumps, encode, parse
from utsuwa.spec.record import Record, decode

_QUIET = 1000
"""Milliseconds without anything to do after which a worker ends."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.monitor.creator import Creator
    from utsuwa.monitor.door import Notice
    from utsuwa.monitor.health import Examiner


class Claim:
    """A container that a worker is about to start, and nobody else: its lock, and the record of the run."""

    def __init__(self, request: bytes) -> None:
        """Raises Conflict when somebody has it."""
        self.document = parse(request)
        head = decode(Head, self.document)
        self.directory = make_monitor_directory(head.run, head.id)
        lock = take_lock(self.directory)
        if lock is None:
            raise Conflict(f"container {head.id} is running already")
        self.lock, self.began = lock, now()
        announce(head, self.directory, self.began)


def keep(claim: Claim, connection: int, creator: Creator, control: socket, notice: Notice) -> None:
    """Everything after ``creator.begin()``, in order, until it is quiet. Errors before the container exists go to the
    connection.
    """
    try:
        start = decode(Start, claim.document)
        keeper = Keeper(start, claim.directory, control, claim.began)
    except (Error, OSError):  # the container was removed while its start was under way
        creator.give_up()
        empty(claim.directory, keep_lock=False)
        raise
    try:
        keeper.create(creator, connection, notice)
    except Failed as error:
        keeper.note_failure(error)
        os.close(claim.lock)
        refuse(connection, error)
        return
    keeper.attend(connection, claim.lock)
    creator.dismiss()
    notice.started()
    keeper.live()


def go_on(received: list[int], control: socket, ended: int | None) -> None:
    """The life of a later worker, from what the guard gave to it."""
    document, descriptors = take_over(received)
    handover = decode(Handover, parse(document))
    named = dict(zip(handover.names, descriptors, strict=True))
    start = handover.start
    if handover.waiting:
        from utsuwa.monitor.interval import Interval

        Interval(start, control, named).live()
        return
    keeper = Keeper(start, monitor_directory(start.run, start.id), control, handover.began)
    keeper.take_over(handover, named, ended)
    keeper.live()


def announce(head: Head | Start, directory: str, began: str) -> None:
    """From here on the container counts as started, and what it leaves is ours to clean up."""
    pid, since = identity()
    run = Run(number=head.number, monitor=pid, monitorStart=since, startedAt=began, restarts=head.restarts)
    write(directory, RUN_FILE, run)


class Handover(Record):
    """What one worker leaves to the next, besides descriptors, whose ``names`` these are in order.

    ``waiting``: the run is over, and the next is to begin when the ``timer`` says so.
    """

    start: Start
    began: str
    pid: int
    names: tuple[str, ...]
    waiting: bool = False


class Keeper:
    """The state of one run."""

    def __init__(self, start: Start, directory: str, control: socket, began: str) -> None:
        self._start, self._directory, self._control = start, directory, control
        self._began = began
        self._status: int | None = None
        self._lost = False
        self._pid = 0
        self._lock = self._listener = self._mounts = -1
        self._bundle = os.open(start.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._log = open_log(start, self._bundle)
        self.relay = Relay(self._log, self._bundle, self._forward, self._resized)
        self.relay.watch(control.fileno(), self._told)
        self._examiner: Examiner | None = None

    def create(self, creator: Creator, client: int = -1, notice: Notice | None = None) -> int:
        """Have the container created and started, and the journal and the ``client`` told; its pid. Raises Failed.

        ``notice``: who is told when there is time.
        """
        self._stdio = Stdio(self._start.tty, self._start.openStdin)
        creator.go_ahead(self._stdio, client)
        if notice:
            notice.taken()
        self._pid, self._mounts = creator.outcome()
        return self._pid

    def take_over(self, handover: Handover, descriptors: dict[str, int], ended: int | None) -> None:
        """Be what the last worker was. The guard keeps its own copies, and so do we."""
        self._pid, self._status = handover.pid, ended
        self._lock, self._listener = descriptors.pop("lock"), descriptors.pop("listener")
        if self._start.health:
            self._examine(descriptors.pop("health"))
        self.relay.adopt(descriptors, self._start.stdinOnce)
        self.relay.watch(self._listener, self._accept)

    def attend(self, connection: int, lock: int) -> None:
        """Let clients in, first of all the one that asked."""
        if self._start.attach:
            self.relay.attach(connection, owner=True)
        else:
            os.close(connection)
        self.settle_in(lock, self._listen())

    def settle_in(self, lock: int, listener: int) -> None:
        """Take over the process's stdio, and make sure that nothing depends on this worker any more."""
        self._stdio.connect(self.relay, self._start.stdinOnce)
        if self._start.rows:
            self.relay.resize(self._start.rows, self._start.columns)
        self._lock, self._listener = lock, listener
        self.relay.watch(self._listener, self._accept)
        if self._start.health:
            self._examine()
        self._hand_over()

    def _examine(self, clock: int = -1) -> None:
        from utsuwa.monitor.health import Examiner

        self._examiner = Examiner(self._start, self._began, self.relay, clock)

    def live(self) -> None:
        """Until the container's process has ended and everybody knows, or until it is quiet."""
        while self._status is None:
            happened = self.relay.step(_QUIET)
            if self.relay.changed:
                self._hand_over()
            busy = self._examiner and not self._examiner.quiet
            if not happened and self.relay.quiet and not busy and not self._lost:
                say_idle(self._control)
                return
        if self._examiner:
            self._examiner.end()
        self.relay.drain()
        if self._mounts >= 0:
            os.close(self._mounts)  # and with that they are gone: who is told of the end may mount the same again
            empty_work(self._start.mounts)
        record, delay = self.note_end()
        if delay is None:
            os.close(self._lock)
            name_process(self._control, self._pid)  # the guard lets go of the lock, too, and of everything
        else:
            await_restart(self._start, delay, self._control, self._lock, self._listener)
            say_idle(self._control)
            self._let_go()
        self.relay.finish(frames.EXITED, dumps(encode(record)).encode())

    def _let_go(self) -> None:
        """Clients take their time, and the restart must not wait for them: to the guard we are gone from here on."""
        for fd in (self._lock, self._listener, self._control.fileno()):
            os.close(fd)
        self._control.detach()

    def _hand_over(self) -> None:
        """Let the guard have what the next worker needs: now, because nobody knows how this one ends."""
        self.relay.changed = False
        kept = self.relay.descriptors()
        watched = {name: fd for name, fd in kept.items() if name in ("stdout", "stderr", "terminal")}
        watched["listener"] = self._listener
        if self._examiner:
            watched["health"] = self._examiner.clock
        held = {name: fd for name, fd in kept.items() if name not in watched} | {"lock": self._lock}
        names = (*watched, *held)
        handover = Handover(start=self._start, began=self._began, pid=self._pid, names=names)
        document = dumps(encode(handover)).encode()
        hand_over(self._control, self._pid, list(watched.values()), list(held.values()), document)

    def _told(self, _events: int) -> None:
        """The guard says that some child has ended, or is gone itself."""
        try:
            message = self._control.recv(64)
        except ConnectionResetError:
            message = b""
        if not message:
            self._relieve_guard()
            return
        pid, status = ENDED.unpack(message)
        if pid == self._pid:
            self._status = status

    def _relieve_guard(self) -> None:
        """The guard was killed. The container is nobody's child now; its end can be seen still, but not how it
        ended.
        """
        self.relay.forget(self._control.fileno())
        self._lost = True
        try:
            process = os.pidfd_open(self._pid)
        except ProcessLookupError:
            self._status = 0
            return
        self.relay.watch(process, self._vanished)

    def _vanished(self, _events: int) -> None:
        self._status = 0

    def note_end(self) -> tuple[Exit, int | None]:
        """Write how it ended, and remove what is only of use to a running container (or everything of it).

        With it comes the delay of the restart in milliseconds, None when there is to be none.
        """
        from utsuwa.monitor.ending import clean, forget_run
        from utsuwa.monitor.restarts import delay

        if self._log:
            self._log.close()
        record = read(Exit, self._start.directory, EXIT_FILE)
        if not isinstance(record, Exit) or record.number != self._start.number:
            record = self._told_end()
        due = None if self._lost or self._start.remove else delay(self._start, record)
        record = record.replace(restarting=due is not None)
        self._write_exit(record)
        if due is None:
            clean(self._start, self._directory)
        else:
            forget_run(self._start)
        return record, due

    def _told_end(self) -> Exit:
        """How it ended, told to the journal; a worker before us may have got so far."""
        from utsuwa.monitor.ending import was_out_of_memory
        from utsuwa.runtime.process import exit_code

        status = self._status or 0
        record = Exit(
            number=self._start.number,
            exitCode=UNKNOWN_CODE if self._lost else exit_code(status),
            signal=status & 0x7F,
            error=UNKNOWN_END if self._lost else "",
            oomKilled=was_out_of_memory(self._start),
            startedAt=self._began,
            finishedAt=now(),
            logLost=self._log.lost if self._log else 0,
            restarts=self._start.restarts,
        )
        if record.oomKilled:
            self.note("oom")
        self.note(
            "die",
            {
                "exitCode": str(record.exitCode),
                "execDuration": str(int(moment(record.finishedAt) - moment(self._began))),
            },
        )
        return record

    def note_failure(self, error: Failed) -> None:
        """Write that it never began, and clean up."""
        from utsuwa.monitor.ending import clean

        if self._log:
            self._log.close()
        record = Exit(
            number=self._start.number,
            exitCode=error.code,
            error=str(error),
            finishedAt=now(),
            restarts=self._start.restarts,
        )
        self._write_exit(record)
        clean(self._start, self._directory)

    def note(self, action: str, extra: dict[str, str] | None = None) -> None:
        """Tell the journal what has happened to the container."""
        journal.note(self._start.run, self._start.directory, action, extra)

    def _resized(self, rows: int, columns: int) -> None:
        self.note("resize", {"height": str(rows), "width": str(columns)})

    def _write_exit(self, record: Exit) -> None:
        if not self._start.remove or os.path.exists(f"{self._start.directory}/{LASTING_FILE}"):
            try:
                write(self._start.directory, EXIT_FILE, record, durable=True)
            except OSError:  # a full disk: the engine then shows that the end is not known
                pass

    def _listen(self) -> int:
        folder = os.open(self._directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.unlink(SOCKET_FILE, dir_fd=folder)
        except FileNotFoundError:
            pass
        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
        os.fchmod(listener.fileno(), 0o600)  # so it is from the moment that it has a name
        listener.bind(f"/proc/self/fd/{folder}/{SOCKET_FILE}")
        os.close(folder)
        listener.listen(16)
        return listener.detach()

    def _accept(self, _events: int) -> None:
        listener = socket(fileno=self._listener)
        try:
            connection, _address = listener._accept()  # type: ignore[attr-defined]
        except OSError:
            return
        finally:
            listener.detach()
        self.relay.attach(connection)

    def _forward(self, number: int) -> None:
        """A client's signal for the container's first process; the guard has not reaped it, so the pid is its."""
        if self._status is None:
            try:
                os.kill(self._pid, number)
            except (OSError, ValueError):
                pass


def await_restart(start: Start, delay: int, control: socket, lock: int, listener: int) -> None:
    """Leave the guard alone with a timer, of so many milliseconds, after which it has the container started again."""
    from utsuwa.linux import timer

    clock = timer.create()
    timer.arm(clock, delay * 1_000_000)
    names = ("timer", "listener", "lock")
    left = Handover(start=start.replace(delay=delay), began="", pid=0, names=names, waiting=True)
    hand_over(control, 0, [clock, listener], [lock], dumps(encode(left)).encode(), alone=True)
    os.close(clock)


def refuse(connection: int, error: Error) -> None:
    """Answer a request with what went wrong, and hang up."""
    kind = getattr(error, "kind", type(error).__name__)
    failure = {"kind": kind, "message": str(error), "code": getattr(error, "code", 125)}
    try:
        os.write(connection, frames.pack(frames.FAILED, dumps(failure).encode()))
    except OSError:  # the client is gone
        pass
    os.close(connection)

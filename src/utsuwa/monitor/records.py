"""What a monitor is asked, and what it leaves on disk: the run (while it lives) and the exit (for ever).

RUN/monitors/ID/lock         held by the monitor, and by what it forks until the container exists
RUN/monitors/ID/run.json     which run this is, since when, and who keeps it
RUN/monitors/ID/attach.sock  where clients attach
RUN/runtime/ID/              the OCI runtime's own record, with the container's process
ROOT/containers/ID/stopped   somebody has stopped it: it is not to be started again
ROOT/containers/ID/lasting   somebody is about to start it again: it is not to be removed at its end
ROOT/containers/ID/health.json what its healthchecks have found
ROOT/containers/ID/exit.json how the last run ended; one with another number than run.json's is of an earlier run
"""

from __future__ import annotations

import fcntl
import os
import struct
import time

from utsuwa.identifiers import check_container_id
from utsuwa.monitor.jsonlog import Clock
from utsuwa.spec.codec import dumps, encode, parse
from utsuwa.spec.mount import Mount
from utsuwa.spec.record import Record, decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.network.state import Places

RUN_FILE, EXIT_FILE, LOCK_FILE, SOCKET_FILE = "run.json", "exit.json", "lock", "attach.sock"
STOPPED_FILE, LASTING_FILE, HEALTH_FILE = "stopped", "lasting", "health.json"
_FLOCK = struct.Struct("hhqqi4x")
_F_OFD_GETLK, _F_OFD_SETLK = 36, 37


UNKNOWN_CODE, UNKNOWN_END = 255, "its monitor was killed, so how it ended is not known"
"""The exit code and the error of a container whose end nobody saw."""


class HealthCheck(Record):
    """How to find out whether a container does its work: ``command`` is run in it; all times in nanoseconds.

    ``retries`` failures in a row make it unhealthy; those within ``startPeriod`` don't count until one succeeds.
    """

    command: tuple[str, ...]
    interval: int
    timeout: int
    retries: int
    startPeriod: int
    startInterval: int


class HealthResult(Record):
    """One check, in Docker's words; ``ExitCode`` -1 for one that took too long or could not be made."""

    Start: str
    End: str
    ExitCode: int
    Output: str


class Health(Record):
    """What the checks of run ``number`` have found; the last results, oldest first."""

    number: int
    Status: str = "starting"
    FailingStreak: int = 0
    Log: tuple[HealthResult, ...] = ()


class Outline(Record):
    """What of a Start its creator reads, who is in a hurry: the words are explained there."""

    id: str
    directory: str
    run: str
    tty: bool = False
    mounts: tuple[Mount, ...] = ()
    user: str | None = None
    init: bool = False
    runtime: tuple[str, ...] = ()
    networks: bool = False

    @classmethod
    def unchecked(cls, document: dict[str, Any]) -> Outline:
        """From a Start's JSON. Whoever is to do something about it has decoded the whole by then, and knows that it
        is one.
        """
        mounts = [
            Mount.restored({**mount, "options": tuple(mount.get("options", ()))})
            for mount in document.get("mounts", ())
        ]
        return cls.restored({**document, "mounts": tuple(mounts), "runtime": tuple(document.get("runtime", ()))})


class Start(Outline):
    """The request to start a container whose bundle is in place.

    ``directory``: ROOT/containers/ID, the bundle. ``run``: RUN. ``number``: of this run, from 1. ``attach``: the
    connection becomes the first client. ``stdinOnce``: stdin ends with the client that feeds it. ``log``: name of the
    log file in ``directory``, "" for none; ``logLimit`` bytes a file (0: no limit), ``logFiles`` of them, old ones
    gzipped with ``logCompress``; ``logAttributes`` stand in every record. ``mounts``
    make the root, see plan. ``user`` is looked up inside. ``remove``: everything goes with the end of the process,
    the snapshot of the same id in the snapshotter at ``snapshots``, the anonymous volumes and further snapshots at
    the directories ``volumes`` included.
    ``runtime``: the command of another OCI runtime that is to do it. It is the ``restarts``-th restart in a row,
    after ``delay`` milliseconds.
    ``networks``: it has a network namespace that is connected as its network.json says.
    """

    number: int = 1
    openStdin: bool = False
    stdinOnce: bool = False
    attach: bool = False
    rows: int = 0
    columns: int = 0
    log: str = ""
    logLimit: int = 0
    logFiles: int = 1
    logDriver: str = "json-file"
    logCompress: bool = False
    logAttributes: dict[str, str] = {}
    remove: bool = False
    snapshots: str = ""
    volumes: tuple[str, ...] = ()
    restarts: int = 0
    delay: int = 0
    health: HealthCheck | None = None


class Head(Record):
    """What of a Start is asked for first, and by somebody in a hurry."""

    id: str
    run: str
    number: int = 1
    restarts: int = 0


class Execute(Record):
    """The request to run another process in a container: ``process`` is the specification's, ``user`` is looked up
    inside. ``exec`` is its own id, for events of the container of ``directory``. ``bound``: it is killed when its
    client goes.
    """

    id: str
    run: str
    process: object
    exec: str = ""
    directory: str = ""
    bound: bool = False
    user: str | None = None
    tty: bool = False
    openStdin: bool = False
    attach: bool = True
    rows: int = 0
    columns: int = 0


class Run(Record):
    """A run of a container: its number, its monitor, and when it began."""

    number: int
    monitor: int
    monitorStart: int
    startedAt: str
    restarts: int = 0


class Exit(Record):
    """How a run ended. ``exitCode`` is a shell's (128 + signal); ``error`` says why it never began; ``logLost``
    counts bytes. ``restarting``: its monitor was to start it again, for the ``restarts + 1``-th time.
    """

    number: int
    exitCode: int
    signal: int = 0
    oomKilled: bool = False
    startedAt: str = ""
    finishedAt: str = ""
    error: str = ""
    logLost: int = 0
    restarts: int = 0
    restarting: bool = False


def now() -> str:
    """This moment in RFC 3339."""
    return Clock().text(time.time_ns())


def moment(text: str) -> float:
    """Seconds since 1970 of an RFC 3339 time in UTC (as we write it ourselves); 0 for none. time.strptime costs 10
    ms.
    """
    if not text:
        return 0.0
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    seconds = int(text[11:13]) * 3600 + int(text[14:16]) * 60 + float(text[17:].rstrip("Z"))
    # Days since 1970-01-01, with years that begin in March, so that leap days come last.
    year -= month <= 2
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * ((month + 9) % 12) + 2) // 5 + day - 719469
    return days * 86400 + seconds


def monitor_directory(run: str, identifier: str) -> str:
    """Where the monitor of a container keeps what only matters while it lives. Raises InvalidArgument for no id."""
    return f"{run}/monitors/{check_container_id(identifier)}"


def make_monitor_directory(run: str, identifier: str) -> str:
    """Make it and the one around it, but not ``run``, whose owner decides who may speak to monitors; its path."""
    directory = monitor_directory(run, identifier)
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        pass
    except FileNotFoundError:
        try:
            os.mkdir(os.path.dirname(directory), 0o700)
        except FileExistsError:  # somebody was faster
            pass
        return make_monitor_directory(run, identifier)
    return directory


def runtime_root(run: str) -> str:
    """The ``--root`` of the OCI runtime."""
    return f"{run}/runtime"


def places_of(start: Outline) -> Places:
    """Where networks are kept, beside the containers and beside the monitors."""
    from utsuwa.network.state import Places

    return Places(os.path.dirname(os.path.dirname(start.directory)), start.run)


def write(directory: str, name: str, record: Record, durable: bool = False) -> None:
    """Put a record in place as a whole; ``durable``: it survives a power failure from here on."""
    temporary = f"{directory}/.{name}.{os.getpid()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, dumps(encode(record)).encode())
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, f"{directory}/{name}")
    if durable:
        fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        os.fsync(fd)
        os.close(fd)


def read(cls: type, directory: str, name: str) -> Record | None:
    """The record in a file, None when there is none."""
    try:
        fd = os.open(f"{directory}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return decode(cls, parse(os.read(fd, os.fstat(fd).st_size + 1)))
    finally:
        os.close(fd)


def take_lock(directory: str) -> int | None:
    """Lock the directory of a monitor for as long as the descriptor (or a copy in a fork) is open; None if somebody
    has.
    """
    fd = os.open(f"{directory}/{LOCK_FILE}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.fcntl(fd, _F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, 0, 0, 0, 0))
    except OSError:
        os.close(fd)
        return None
    return fd


def is_locked(directory: str) -> bool:
    """A monitor (or what it forks) is alive. The lock is only looked at: to try it would get in the way of a real
    owner.
    """
    try:
        fd = os.open(f"{directory}/{LOCK_FILE}", os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        answer = fcntl.fcntl(fd, _F_OFD_GETLK, _FLOCK.pack(fcntl.F_WRLCK, 0, 0, 0, 0))
    finally:
        os.close(fd)
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)

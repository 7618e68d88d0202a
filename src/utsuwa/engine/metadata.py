"""The containers on disk: a directory each, and a symbolic link for each name.

    ROOT/containers/ID/container.json   what was asked, resolved; its presence makes the directory a container
    ROOT/containers/ID/…                the bundle, exit.json, the log
    ROOT/names/NAME -> ID               symlink(2) is atomic: who makes it has the name

A directory without container.json is being made (its maker holds a flock on it) or was left by a maker or remover
that was killed, and is then removed by :mod:`utsuwa.engine.recovery`. SQLite would cost 4 ms to import and an fsync a
change.
"""

from __future__ import annotations

import os
from fcntl import LOCK_EX, LOCK_NB, flock

from utsuwa.errors import Conflict, Error, FailedPrecondition, NotFound, from_oserror
from utsuwa.identifiers import check_name
from utsuwa.spec.codec import dumps, parse
from utsuwa.spec.record import Record, decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.engine.paths import Paths

RECORD = "container.json"


class ContainerRecord(Record):
    """One container as it was asked for. It changes only by rename, update and restart.

    ``command`` is what runs, of which ``entrypoint`` is the beginning.
    ``image`` is the name used, ``imageId`` what it meant. ``snapshot`` is the directory of its writable layer,
    ``mounts`` make its root. ``restart`` is the policy ("" for none), with at most ``restartLimit`` restarts (0: no
    limit). ``healthcheck`` is Docker's, ``health`` what a monitor makes of it. ``runs``: how often it was started by
    somebody. ``maker`` and ``makerStart``: the process that started it last, or that made it and is to start it: nobody
    else would after that process's death.
    """

    id: str
    name: str
    createdAt: str
    image: str
    imageId: str
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    request: object = None
    mounts: tuple[object, ...] = ()
    snapshot: str = ""
    user: str | None = None
    tty: bool = False
    openStdin: bool = False
    stdinOnce: bool = False
    autoRemove: bool = False
    init: bool = False
    labels: dict[str, str] = {}
    logDriver: str = "json-file"
    logLimit: int = 0
    logFiles: int = 1
    logCompress: bool = False
    logAttributes: dict[str, str] = {}
    stopSignal: str = "SIGTERM"
    stopTimeout: int = 10
    restart: str = ""
    restartLimit: int = 0
    healthcheck: object = None
    health: object = None
    runs: int = 0
    maker: int = 0
    makerStart: int = 0
    networkMode: str = "none"
    mountPoints: tuple[object, ...] = ()
    volumes: tuple[str, ...] = ()
    runtime: str = "urun"
    runtimeCommand: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()


class Metadata:
    """The container directories below ``paths.root``."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def begin(self, identifier: str) -> int:
        """Make a container's directory; the descriptor holds its lock until it is closed."""
        path = self._paths.container(identifier)
        try:
            os.makedirs(self._paths.containers, 0o710, exist_ok=True)
            os.makedirs(self._paths.names, 0o700, exist_ok=True)
            while True:
                os.mkdir(path, 0o710)
                lock = _lock(path, LOCK_EX)
                if lock is not None and os.path.exists(path):
                    return lock
                if lock is not None:  # a sweep came between, when nobody held it
                    os.close(lock)
        except OSError as error:
            raise from_oserror(error, f"make {path}") from error

    def claim(self, name: str, identifier: str) -> None:
        """Take a name. Raises Conflict when a container has it."""
        name = check_name(name)
        link = f"{self._paths.names}/{name}"
        for _ in range(2):
            try:
                os.symlink(identifier, link)
                return
            except FileExistsError:
                if not self._drop_stale_name(name):
                    break
        owner = os.readlink(link)
        raise Conflict(
            f'Conflict. The container name "/{name}" is already in use by container "{owner}". '
            "You have to remove (or rename) that container to be able to reuse that name."
        )

    def save(self, record: ContainerRecord) -> None:
        """Put a record in place as a whole."""
        path = self._paths.container(record.id)
        temporary = f"{path}/.{RECORD}.{os.getpid()}"
        try:
            with open(temporary, "wb", buffering=0) as file:
                file.write(dumps(record).encode())
            os.rename(temporary, f"{path}/{RECORD}")
        except OSError as error:
            raise from_oserror(error, f"write {path}/{RECORD}") from error

    def change(self, identifier: str, alter: Callable[[ContainerRecord], ContainerRecord]) -> ContainerRecord:
        """Put in place what ``alter`` makes of a record, while nobody else changes it. Raises NotFound, what it raises.

        The lock is that of the container's directory: a process that is killed lets go of it.
        """
        try:
            lock = os.open(self._paths.container(identifier), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound(f"No such container: {identifier}") from None
        try:
            flock(lock, LOCK_EX)
            record = alter(self.load(identifier))
            self.save(record)
        finally:
            os.close(lock)
        return record

    def load(self, identifier: str) -> ContainerRecord:
        """The record of a full id. Raises NotFound, FailedPrecondition when it is damaged."""
        path = f"{self._paths.container(identifier)}/{RECORD}"
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"No such container: {identifier}") from None
        try:
            data = os.read(fd, os.fstat(fd).st_size + 1)
        finally:
            os.close(fd)
        try:
            record: ContainerRecord = decode(ContainerRecord, parse(data))
        except Error as error:
            raise FailedPrecondition(f"the record of container {identifier} is damaged: {error}") from error
        return record

    def all(self) -> list[ContainerRecord]:
        """Every container, the newest first; damaged ones and such as vanish meanwhile are left out."""
        records = []
        for identifier in self.identifiers():
            try:
                records.append(self.load(identifier))
            except Error:
                continue
        records.sort(key=lambda record: record.createdAt, reverse=True)
        return records

    def identifiers(self) -> list[str]:
        """The names of all container directories, whole or not."""
        try:
            return os.listdir(self._paths.containers)
        except FileNotFoundError:
            return []

    def find(self, reference: str) -> ContainerRecord:
        """The container of a full id, a name, or a unique beginning of an id, in this order, as Docker looks for it."""
        reference = reference.removeprefix("/")
        if not reference or "/" in reference:
            raise NotFound(f"No such container: {reference}")
        if len(reference) == 64 and os.path.exists(f"{self._paths.container(reference)}/{RECORD}"):
            return self.load(reference)
        try:
            return self.load(os.readlink(f"{self._paths.names}/{reference}"))
        except (OSError, NotFound):
            pass
        found = [name for name in self.identifiers() if name.startswith(reference)]
        if len(found) > 1:
            raise Conflict(f"Multiple IDs found with provided prefix: {reference}")
        if not found:
            raise NotFound(f"No such container: {reference}")
        try:
            return self.load(found[0])
        except NotFound:
            raise NotFound(f"No such container: {reference}") from None

    def abandoned(self) -> list[str]:
        """Ids of directories that never became a container, or are one no more, and that nobody works on. They are not
        locked any more: who removes them takes the lock.
        """
        left = []
        for identifier in self.identifiers():
            path = self._paths.container(identifier)
            if os.path.exists(f"{path}/{RECORD}"):
                continue
            lock = _lock(path, LOCK_EX | LOCK_NB)
            if lock is None:
                continue
            try:
                if not os.path.exists(f"{path}/{RECORD}"):
                    left.append(identifier)
            finally:
                os.close(lock)
        return left

    def _drop_stale_name(self, name: str) -> bool:
        """Remove a name whose container has gone; its directory is always made before the name, and removed after
        it.
        """
        link = f"{self._paths.names}/{name}"
        try:
            owner = os.readlink(link)
            if os.path.exists(self._paths.container(owner)):
                return False
            os.unlink(link)
        except FileNotFoundError:
            pass
        return True


def _lock(path: str, how: int) -> int | None:
    """A descriptor that holds the lock of a directory; None when that has gone, or when somebody else holds it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        flock(fd, how)
    except OSError:
        os.close(fd)
        return None
    return fd

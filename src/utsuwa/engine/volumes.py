"""Volumes: directories of the engine's, which outlive containers.

    ROOT/volumes/NAME/volume.json  what it was made as
    ROOT/volumes/NAME/_data/       what is in it
    ROOT/volumes/NAME/owners/ID    an anonymous volume's containers, see monitor/volumes.py
    ROOT/volumes/NAME/filling      it is being filled for the first time; nobody holds the lock: that was cut off

A volume comes into being by the rename of a directory that has all of that, and goes by another.
"""

from __future__ import annotations

import os
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock

from utsuwa.errors import Conflict, InvalidArgument, NotFound, Unsupported, from_oserror
from utsuwa.identifiers import check_name, new_engine_id
from utsuwa.monitor import journal
from utsuwa.monitor import volumes as ends
from utsuwa.monitor.records import now
from utsuwa.spec.codec import dumps, encode, parse
from utsuwa.spec.record import Record, decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.engine.metadata import Metadata
    from utsuwa.engine.paths import Paths

_RECORD, _FILLING, _NEW = "volume.json", "filling", ".new-"
ANONYMOUS_LABEL = "com.docker.volume.anonymous"


class VolumeRecord(Record):
    """A volume as it was made; ``options`` are those of the driver local, see localdriver.py."""

    name: str
    createdAt: str
    driver: str = "local"
    labels: dict[str, str] | None = None
    options: dict[str, str] | None = None

    @property
    def anonymous(self) -> bool:
        """Nobody has named it."""
        return ANONYMOUS_LABEL in (self.labels or {})


class Volumes:
    """The volumes below the paths; safe to use from several processes at once."""

    def __init__(self, paths: Paths, metadata: Metadata) -> None:
        self._paths, self._metadata = paths, metadata

    def data(self, name: str) -> str:
        """The directory that holds a volume's files."""
        return f"{self._paths.volumes}/{name}/_data"

    # --- make and find ----------------------------------------------------------------------------------------------

    def create(
        self,
        name: str = "",
        *,
        driver: str = "",
        options: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
    ) -> VolumeRecord:
        """Make a volume, or find the one that has the name already, as Docker does; "" makes an anonymous one."""
        record, lock = self.take(name, driver=driver, options=options, labels=labels)
        os.close(lock)
        return record

    def take(
        self,
        name: str = "",
        *,
        owner: str = "",
        driver: str = "",
        options: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
    ) -> tuple[VolumeRecord, int]:
        """As ``create``; the descriptor keeps the volume from being removed until it is closed.

        ``owner``: the container that an anonymous volume goes with.
        """
        if driver not in ("", "local"):
            raise Unsupported(f"unsupported: volume driver {driver} (use local)")
        if options:
            from utsuwa.engine.localdriver import check_options

            check_options(options)
        if name:
            check_name(name, "volume")
        else:
            name, labels = new_engine_id(), {ANONYMOUS_LABEL: "", **(labels or {})}
        while True:
            found = self.hold(name)
            if found is not None:
                return found
            record = VolumeRecord(name=name, createdAt=now(), options=options or None, labels=labels or None)
            lock = self._make(record, owner)
            if lock is not None:
                journal.emit(self._paths.run, "volume", "create", name, {"driver": record.driver})
                return record, lock

    def hold(self, name: str) -> tuple[VolumeRecord, int] | None:
        """A volume that exists, kept from being removed until the descriptor is closed."""
        lock = ends.lock(f"{self._paths.volumes}/{name}", shared=True)
        if lock is None:
            return None
        try:
            return self.find(name), lock
        except BaseException:
            os.close(lock)
            raise

    def _make(self, record: VolumeRecord, owner: str) -> int | None:
        """The new volume's lock; None when somebody was faster."""
        directory = f"{self._paths.volumes}/{_NEW}{new_engine_id()}"
        try:
            os.makedirs(self._paths.volumes, 0o711, exist_ok=True)
            os.mkdir(directory, 0o711)
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            flock(lock, LOCK_SH)
            if not ends.is_current(lock, directory):  # somebody who swept was there before the lock was
                os.close(lock)
                return None
            with open(f"{directory}/{_RECORD}", "wb", buffering=0) as file:
                file.write(dumps(encode(record)).encode())
            os.mkdir(f"{directory}/_data")
            os.chmod(f"{directory}/_data", 0o755)
            if owner:
                os.mkdir(f"{directory}/{ends.OWNERS}", 0o700)
                os.mknod(f"{directory}/{ends.OWNERS}/{owner}", 0o600)
            try:
                os.rename(directory, f"{self._paths.volumes}/{record.name}")
            except OSError:
                if not os.path.lexists(f"{self._paths.volumes}/{record.name}"):
                    raise
                os.close(lock)
                _remove_tree(directory)
                return None
        except OSError as error:
            raise from_oserror(error, f"make volume {record.name}") from error
        return lock

    def find(self, name: str) -> VolumeRecord:
        """The volume of that name. Raises NotFound in Docker's words."""
        path = f"{self._paths.volumes}/{name}/{_RECORD}"
        try:
            if not name or name[0] == "." or "/" in name:
                raise FileNotFoundError
            with open(path, "rb", buffering=0) as file:
                record: VolumeRecord = decode(VolumeRecord, parse(file.read()))
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"get {name}: no such volume") from None
        return record

    def all(self) -> list[VolumeRecord]:
        """Every volume, by name."""
        found = []
        for name in sorted(self._names()):
            try:
                found.append(self.find(name))
            except (NotFound, InvalidArgument):  # removed meanwhile, or damaged
                continue
        return found

    def users(self) -> dict[str, list[str]]:
        """Volume -> ids of the containers that have it, running or not."""
        found: dict[str, list[str]] = {}
        for record in self._metadata.all():
            for point in record.mountPoints:
                if point["type"] == "volume":  # type: ignore[index]
                    found.setdefault(point["name"], []).append(record.id)  # type: ignore[index]
        return found

    # --- fill, and share --------------------------------------------------------------------------------------------

    def fill(self, name: str, lock: int, copy: Callable[[str], None]) -> None:
        """Have ``copy`` put something into an empty volume whose lock (as of ``take``) is held; whole, or again."""
        directory, data = f"{self._paths.volumes}/{name}", self.data(name)
        if os.listdir(data) and not os.path.exists(f"{directory}/{_FILLING}"):
            return
        flock(lock, LOCK_EX)
        try:
            if os.path.exists(f"{directory}/{_FILLING}"):
                for entry in os.listdir(data):
                    _remove_tree(f"{data}/{entry}")
            elif os.listdir(data):  # somebody else was faster
                return
            os.close(os.open(f"{directory}/{_FILLING}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            copy(data)
            os.unlink(f"{directory}/{_FILLING}")
        finally:
            flock(lock, LOCK_SH)
        if not ends.is_current(lock, directory):  # to change a lock is to let go of it for a moment (flock(2))
            raise Conflict(f"volume {name} was removed while it was filled, try again")

    def share(self, name: str, owner: str, *, named: bool) -> None:
        """One more container has a volume that is held. An anonymous one that is asked for by its name stays."""
        directory = f"{self._paths.volumes}/{name}/{ends.OWNERS}"
        if named:
            if os.path.isdir(directory):
                _remove_tree(directory)
        elif os.path.isdir(directory):
            os.close(os.open(f"{directory}/{owner}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))

    # --- remove -----------------------------------------------------------------------------------------------------

    def owned(self, identifier: str, names: tuple[str, ...]) -> list[str]:
        """Of the volumes ``names`` the directories of those that go with a container."""
        directories = [f"{self._paths.volumes}/{name}" for name in names]
        return [directory for directory in directories if identifier in (ends.owners(directory) or ())]

    def disown(self, identifier: str, names: tuple[str, ...]) -> None:
        """Let the anonymous volumes of a container outlive it."""
        for directory in self.owned(identifier, names):
            lock = ends.lock(directory)
            if lock is None:
                continue
            try:
                if ends.owners(directory) == [identifier]:
                    _remove_tree(f"{directory}/{ends.OWNERS}")
                elif os.path.exists(f"{directory}/{ends.OWNERS}/{identifier}"):
                    os.unlink(f"{directory}/{ends.OWNERS}/{identifier}")
            finally:
                os.close(lock)

    def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a volume that no container has. Raises Conflict for one in use, NotFound unless ``force``."""
        try:
            self.find(name)
        except NotFound:
            if force:
                return
            raise
        lock = ends.lock(f"{self._paths.volumes}/{name}")
        if lock is None:
            return
        try:
            users = self.users().get(name, [])
            if users:
                raise Conflict(f"remove {name}: volume is in use - [{', '.join(users)}]")
            try:
                ends.remove(f"{self._paths.volumes}/{name}")
            except OSError as error:
                raise from_oserror(error, f"remove {name}") from error
            journal.emit(self._paths.run, "volume", "destroy", name, {"driver": "local"})
        finally:
            os.close(lock)

    def prune(self, wanted: Callable[[VolumeRecord], bool]) -> tuple[list[str], int]:
        """Remove the volumes that no container has and that ``wanted`` takes; their names, and the bytes on disk."""
        from utsuwa.snapshot.measure import disk_usage

        users, removed, freed = self.users(), [], 0
        for record in self.all():
            if record.name in users or not wanted(record):
                continue
            size = disk_usage(self.data(record.name))
            try:
                self.remove(record.name)
            except (Conflict, NotFound):
                continue
            removed.append(record.name)
            freed += size
        journal.note_pruned(self._paths.run, "volume", freed)
        return removed, freed

    def sweep(self) -> None:
        """Remove what killed processes have left: volumes half made or half removed, and of containers that are no
        more.
        """
        for name in self._names(hidden=True):
            directory = f"{self._paths.volumes}/{name}"
            if name[0] == ".":
                _remove_abandoned(directory)
                continue
            for owner in ends.owners(directory) or ():
                if not os.path.exists(self._paths.container(owner)):
                    ends.release(self._paths.run, directory, owner)

    def _names(self, hidden: bool = False) -> list[str]:
        try:
            names = os.listdir(self._paths.volumes)
        except FileNotFoundError:
            return []
        return names if hidden else [name for name in names if name[0] != "."]


def _remove_abandoned(directory: str) -> None:
    """Remove a directory that nobody has locked."""
    try:
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        flock(lock, LOCK_EX | LOCK_NB)
        _remove_tree(directory)
    except OSError:  # somebody has it, or it is gone, or can't be removed now: the next who sweeps will try
        return
    finally:
        os.close(lock)


def _remove_tree(path: str) -> None:
    from utsuwa.snapshot.tree import remove

    remove(path)

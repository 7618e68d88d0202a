"""The containers of one ``--root``: a directory each, with what was asked of it and what happened to it.

    ROOT/ID/            0711, flock(2)ed by the verb that changes the container
        creating        the record while `create` is at work; nobody holds the lock: its creator was killed
        state.json      the record of a container that exists
        config.json     the configuration as it was at `create`: later changes of the bundle have no effect (runtime.md)
        start.sock      the created container listens here for `start`
        notify/         where the container says that it is ready, see notify.py

The status is never stored. It is derived from the process, its start time, the socket and the freezer.
"""

from __future__ import annotations

import errno
import os
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock

from utsuwa.errors import Conflict, Error, FailedPrecondition, Internal, InvalidArgument, NotFound, from_oserror
from utsuwa.runtime.process import start_time
from utsuwa.spec.record import Record, decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.cgroup.manager import Manager
    from utsuwa.linux.resctrl import Group
    from utsuwa.runtime.notify import Proxy
    from utsuwa.spec.runtime import Spec

CREATING, CREATED, RUNNING, PAUSED, STOPPED = "creating", "created", "running", "paused", "stopped"

INTENT = "creating"
STATE = "state.json"
CONFIG = "config.json"
SOCKET = "start.sock"
NOTIFY = "notify"
FILTERS, DRAFTS = ".seccomp", ".drafts"
"""Beside the containers: compiled seccomp filters, and drafts of containers (kept.py). No container may have such an
id.
"""

_NO_PROCESS = b'"pid":0,"startTime":0'
"""In a document that was announced; no string in it has quotation marks without a backslash."""
_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+.-")


class Document(Record):
    """What is on disk of a container: written before its first trace on the host, and again when it has a process.

    ``options`` are those of `create` that the plan depends on. ``ownPidNamespace``: the kernel ends all processes with
    the first one. ``poststart`` and ``poststop``: there are such hooks. All of that is in config.json,
    which is not read for it.
    ``intelRdt``: linux.resctrl.Group, where the container has one. ``external``: the command of another runtime, which
    has made the container.
    """

    id: str
    ociVersion: str
    bundle: str
    rootfs: str
    created: str
    annotations: dict[str, str] | None = None
    cgroup: dict[str, object] | None = None
    options: dict[str, object] | None = None
    ownPidNamespace: bool = True
    poststart: bool = False
    poststop: bool = False
    pid: int = 0
    startTime: int = 0
    intelRdt: dict[str, object] | None = None
    external: tuple[str, ...] = ()

    def rdt(self) -> Group | None:
        """Its directories in resctrl; None when it is in the class of service that everybody is in."""
        if self.intelRdt is None:
            return None
        from utsuwa.linux.resctrl import Group

        found: Group = decode(Group, self.intelRdt)
        return found


def check_id(identifier: str) -> None:
    """Raise InvalidArgument unless ``identifier`` has only letters, digits and ``_+.-``, and is not ``.`` or ``..``."""
    if not identifier:
        raise InvalidArgument("container id cannot be empty")
    wrong = not _LETTERS.issuperset(identifier)
    if wrong or identifier in (".", "..", FILTERS, DRAFTS):
        first = next((letter for letter in identifier if letter not in _LETTERS), "")
        what = f"invalid character {first!r} in container ID" if wrong else "invalid container ID"
        raise InvalidArgument(f"{what} {identifier!r}: use letters, digits and _+.-")
    if len(identifier) > 255:
        raise InvalidArgument(f"container ID is too long ({len(identifier)} characters), use at most 255")


class Store:
    """The containers below one directory (``--root``)."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.filters = f"{root}/{FILTERS}"
        self.drafts = f"{root}/{DRAFTS}"

    def create(self, identifier: str) -> Container:
        """A new, locked container directory; what a killed `create` left of the same id is removed first.

        Raises Conflict when the id is taken, InvalidArgument when it is none.
        """
        check_id(identifier)
        path = f"{self.root}/{identifier}"
        for _ in range(2):
            try:
                os.mkdir(path, 0o711)
            except FileNotFoundError:
                os.makedirs(self.root, 0o700, exist_ok=True)
                continue
            except FileExistsError:
                self._remove_abandoned(identifier)
                continue
            except OSError as error:
                raise from_oserror(error, f"make {path}") from error
            container = Container(path, identifier)
            container.lock()
            return container
        raise Conflict(f"container with given ID already exists: {identifier}")

    def open(self, identifier: str) -> Container:
        """The container of that id, unlocked. Raises NotFound."""
        check_id(identifier)
        container = Container(f"{self.root}/{identifier}", identifier)
        container.load()
        return container

    def glance(self, identifier: str) -> tuple[int, int, dict[str, object] | None] | None:
        """Pid, start time and saved cgroup of a container's living process, None when there is none: what lists of many
        containers are made of, without the rest of the document. Raises InvalidArgument for a damaged one.
        """
        from utsuwa.spec.codec import parse

        try:
            document = parse(_read(f"{self.root}/{identifier}/{STATE}"))
        except OSError:
            return None
        pid, started = document.get("pid", 0), document.get("startTime")
        return (pid, started, document.get("cgroup")) if pid > 0 and start_time(pid) == started else None

    def names(self) -> list[str]:
        """The ids in order; none when the root does not exist. Raises what listdir(3) raises otherwise."""
        try:
            return sorted(
                name
                for name in os.listdir(self.root)
                if name not in (FILTERS, DRAFTS) and os.path.isdir(f"{self.root}/{name}")
            )
        except FileNotFoundError:
            return []

    def _remove_abandoned(self, identifier: str) -> None:
        """Remove the container of that id if its creator was killed; raise Conflict otherwise."""
        container = Container(f"{self.root}/{identifier}", identifier)
        taken = Conflict(f"container with given ID already exists: {identifier}")
        try:
            locked = container.try_lock()
        except NotFound:
            if os.path.lexists(container.path):  # a symbolic link: whatever it leads to is not ours
                raise taken from None
            return  # deleted meanwhile
        if not locked:
            raise taken
        try:
            if os.path.exists(f"{container.path}/{STATE}") and not os.path.exists(f"{container.path}/{INTENT}"):
                raise taken
            from utsuwa.runtime.delete import discard

            container.load_if_possible()
            discard(container)
        finally:
            container.unlock()


class Container:
    """One container directory and, once loaded, its document."""

    def __init__(self, path: str, identifier: str) -> None:
        self.path = path
        self.id = identifier
        self.document: Document = None  # type: ignore[assignment]  # set by load() or by save()
        self.warnings: list[str] = []
        self.readiness: Proxy | None = None  # who waits for the word that the program is ready
        self._lock = -1
        self._manager: Manager | None = None
        self._announced = b""

    # --- the lock ---------------------------------------------------------------------------------------------------

    def lock(self) -> None:
        """Wait for the right to change this container. Raises NotFound when it is deleted meanwhile."""
        self._flock(LOCK_EX)

    def try_lock(self) -> bool:
        """Take the lock if nobody has it. Raises NotFound when there is no such container."""
        try:
            self._flock(LOCK_EX | LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(self) -> None:
        """Let others change this container; does nothing when the lock is not held."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _flock(self, how: int) -> None:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise self._missing(error) from error
        try:
            flock(descriptor, how)
            # While we waited, the holder may have deleted the directory, and another may have made it anew.
            if os.fstat(descriptor).st_ino != os.stat(self.path).st_ino:
                raise NotFound(f"container {self.id} does not exist")
        except FileNotFoundError as error:
            os.close(descriptor)
            raise self._missing(error) from error
        except BaseException:
            os.close(descriptor)
            raise
        self._lock = descriptor

    def _missing(self, error: OSError) -> Error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return NotFound(f"container {self.id} does not exist")
        return from_oserror(error, f"open {self.path}")

    # --- the document -----------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Read the document. Raises NotFound, FailedPrecondition when it is damaged."""
        try:
            data = _read(f"{self.path}/{STATE}")
        except FileNotFoundError:
            try:
                data = _read(f"{self.path}/{INTENT}")
            except OSError as error:
                raise self._missing(error) from error
        except OSError as error:
            raise self._missing(error) from error
        from utsuwa.spec.codec import parse

        try:
            self.document = decode(Document, parse(data))
        except InvalidArgument as error:
            raise FailedPrecondition(f"the state of container {self.id} is damaged: {error}") from error

    def load_if_possible(self) -> bool:
        """Read the document; False when there is none that can be read."""
        try:
            self.load()
        except (NotFound, FailedPrecondition):
            return False
        return True

    def announce(self, document: Document, data: bytes = b"") -> None:
        """Write down what is about to be made, before the first trace of it is on the host. ``data``: what
        :func:`encoded` has made of it.
        """
        self.document = document
        self._announced = data or encoded(document)
        _write(f"{self.path}/{INTENT}", self._announced, 0o600)

    def save_process(self, pid: int, since: int) -> None:
        """Put the document in place that was announced, with the process that there is by now."""
        self.document = self.document.replace(pid=pid, startTime=since)
        told = self._announced.replace(_NO_PROCESS, b'"pid":%d,"startTime":%d' % (pid, since), 1)
        self._replace(told)

    def save(self, **happened: object) -> None:
        """Change the document and put it in place as a whole."""
        self.document = self.document.replace(**happened)
        self._replace(encoded(self.document))

    def _replace(self, data: bytes) -> None:
        # No replacing rename while `creating` exists: on ext4 that starts writing the file out (auto_da_alloc).
        replace_file(f"{self.path}/{STATE}", data, 0o600)

    def complete(self) -> None:
        """The container exists now: who finds it half made will not take it for abandoned. Once is enough."""
        if self._announced:
            os.unlink(f"{self.path}/{INTENT}")
            self._announced = b""

    def keep_config(self, data: bytes) -> None:
        """Keep the configuration as it is now."""
        _write(f"{self.path}/{CONFIG}", data, 0o600)

    def owns_cgroup(self) -> bool:
        """Whether the cgroup was found empty, so that whoever is in it came with this container.

        The record is written before, the configuration after that; a creation can be killed between the two.
        """
        return os.path.exists(f"{self.path}/{CONFIG}")

    def spec(self) -> Spec:
        """The configuration of this container as it was when it was created."""
        from utsuwa.spec.codec import parse
        from utsuwa.spec.runtime import Spec

        try:
            spec: Spec = decode(Spec, parse(_read(f"{self.path}/{CONFIG}")))
        except OSError as error:
            raise self._missing(error) from error
        return spec

    def remove(self) -> None:
        """Remove the directory and all of our files in it; what is gone already does not matter.

        Raises FailedPrecondition, and removes nothing, when there is a file that we did not make: a --root given
        wrongly must not cost anybody a directory.
        """
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return
        for name in names:
            if not _is_ours(name):
                raise FailedPrecondition(f"{self.path} is not a container: {name} in it is not ours, look at --root")
        for name in names:
            try:
                if name == NOTIFY:
                    from utsuwa.runtime.notify import remove

                    remove(self.path)
                    continue
                os.unlink(f"{self.path}/{name}")
            except FileNotFoundError:
                pass
        try:
            os.rmdir(self.path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise from_oserror(error, f"remove {self.path}") from error

    # --- what is true now -------------------------------------------------------------------------------------------

    def manager(self) -> Manager | None:
        """The cgroups of this container; None when it has none."""
        if self._manager is None and self.document is not None and self.document.cgroup is not None:
            from utsuwa.cgroup.filesystem import load

            try:
                self._manager = load(self.document.cgroup)
            except Internal as error:
                raise FailedPrecondition(f"the state of container {self.id} is damaged: {error}") from error
        return self._manager

    def adopt_manager(self, manager: Manager | None) -> None:
        """Use the manager that made the cgroups rather than one read back from the document."""
        self._manager = manager

    def alive(self) -> bool:
        """Whether the container's first process is there (a zombie is not, nor is another process with its pid)."""
        document = self.document
        return document.pid > 0 and start_time(document.pid) == document.startTime

    def status(self) -> str:
        """creating, created, running, paused or stopped (runtime.md "State"; paused is an extension of runc's)."""
        if self._lock < 0 and os.path.exists(f"{self.path}/{INTENT}"):
            if self._held_by_another():
                return CREATING
            self.load_if_possible()  # its creator finished, or was killed, while we looked
        if not self.alive():
            return STOPPED
        if os.path.exists(f"{self.path}/{SOCKET}"):
            return CREATED
        manager = self.manager()
        return PAUSED if manager is not None and manager.frozen() else RUNNING

    def _held_by_another(self) -> bool:
        try:
            self._flock(LOCK_SH | LOCK_NB)
        except BlockingIOError:
            return True
        except NotFound:
            return False
        self.unlock()
        return False


def _is_ours(name: str) -> bool:
    """A file that some verb has made in a container's directory (or was about to, see :func:`replace_file`)."""
    return name in (INTENT, STATE, CONFIG, SOCKET, NOTIFY) or name.startswith(f".{STATE}.")


def encoded(document: Document) -> bytes:
    """As it is on disk."""
    from utsuwa.spec.codec import dumps, encode

    return dumps(encode(document)).encode()


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        data = os.read(descriptor, size + 1)
        while len(data) < size and (more := os.read(descriptor, size - len(data))):
            data += more
        return data
    finally:
        os.close(descriptor)


def _write(path: str, data: bytes, mode: int, flags: int = 0) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | flags, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


def replace_file(path: str, data: bytes, mode: int) -> None:
    """Put a file in place as a whole: readers see the old one or the new one, never a part."""
    directory, _, name = path.rpartition("/")
    temporary = f"{directory}/.{name}.{os.getpid()}"
    try:
        _write(temporary, data, mode, os.O_EXCL)
        os.rename(temporary, path)
    except OSError as error:
        try:
            os.unlink(temporary)
        except FileNotFoundError:
            pass
        raise from_oserror(error, f"write {path}") from error

"""The other end: ask the forkserver for a monitor (starting it if need be), and talk to a container's monitor."""

from __future__ import annotations

import os
import sys
import zlib
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socket
from fcntl import F_DUPFD_CLOEXEC, LOCK_EX, fcntl, flock
from time import sleep

from utsuwa import __version__
from utsuwa.errors import FailedPrecondition, Unavailable, Unsupported, from_oserror
from utsuwa.linux.host import in_user_namespace
from utsuwa.monitor import frames, guard
from utsuwa.monitor.records import SOCKET_FILE, Execute, Start, is_locked, monitor_directory
from utsuwa.spec.codec import dumps

LISTENER = 3
"""The forkserver's socket, in the forkserver."""
_TRIES = 4
_LOOKS, _MOMENT = 1000, 0.001
"""How often, and after how many seconds again, a monitor that is alive is looked for at its door."""
_OF_USER = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
"""Where an ordinary user's systemd is to be found."""
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Connection:
    """A blocking stream of frames."""

    def __init__(self, fd: int, unread: bytes = b"") -> None:
        """``unread`` was read from the descriptor already."""
        self.fd = fd
        self._decoder = frames.Decoder()
        self._ready = self._decoder.feed(unread)

    def send(self, kind: int, payload: bytes = b"") -> None:
        """Send a whole frame; BrokenPipeError when the monitor is gone."""
        data = frames.pack(kind, payload)
        while data:
            data = data[os.write(self.fd, data) :]

    def receive(self) -> list[tuple[int, bytes]]:
        """Frames that came along with those that ``next`` gave; else those that one read completes (maybe none),
        blocking. EOFError when the monitor has hung up.
        """
        if self._ready:
            return self.pending()
        try:
            data = os.read(self.fd, 65536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise EOFError
        return self._decoder.feed(data)

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The frames that become complete with ``data``, which the caller has read from the descriptor."""
        return self._decoder.feed(data)

    def next(self) -> tuple[int, bytes]:
        """The next frame, blocking; EOFError when there is none to come."""
        while not self._ready:
            self._ready = self.receive()
        return self._ready.pop(0)

    def pending(self) -> list[tuple[int, bytes]]:
        """Frames that came along with those that ``next`` gave."""
        ready, self._ready = self._ready, []
        return ready

    def unread(self) -> bytes:
        """What has come and was not asked for yet: who goes on with a copy of the descriptor needs it."""
        return b"".join([frames.pack(*frame) for frame in self._ready]) + self._decoder.rest

    def close(self) -> None:
        """Hang up. A container goes on."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def request(run: str, wanted: Start | Execute) -> Connection:
    """Send a request to the forkserver of the run directory; the answers come on the connection."""
    kind = frames.START if isinstance(wanted, Start) else frames.EXECUTE
    payload = dumps(wanted).encode()
    for _ in range(_TRIES):
        connection = Connection(_forkserver(run))
        try:
            connection.send(kind, payload)
            if connection.next()[0] == frames.ACCEPTED:
                return connection
        except (EOFError, BrokenPipeError):  # the forkserver was killed with our request in its queue
            pass
        connection.close()
    raise Unavailable(f"the forkserver of {run} was killed {_TRIES} times")


def attach(run: str, identifier: str) -> Connection:
    """Connect to a running container's stdio. Raises FailedPrecondition when nobody keeps it."""
    directory = monitor_directory(run, identifier)
    for _ in range(_LOOKS):
        fd = _connect(directory, SOCKET_FILE)
        if fd >= 0:
            return Connection(fd)
        if not is_locked(directory):
            break
        sleep(_MOMENT)  # a monitor tells of a start first, and lets clients in a moment later
    raise FailedPrecondition(f"container {identifier} has no monitor: it is not running, or its monitor was killed")


def _forkserver(run: str) -> int:
    """A connection to the forkserver, which is started if there is none."""
    name = f"forks-{zlib.crc32(f'{_source()} {__version__}'.encode()):08x}.sock"
    fd = _connect(run, name)
    if fd >= 0:
        return fd
    try:
        os.makedirs(run, 0o700, exist_ok=True)
        lock = os.open(f"{run}/forks.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise from_oserror(error, f"use the run directory {run}") from error
    try:
        flock(lock, LOCK_EX)
        fd = _connect(run, name)  # another client may have started it meanwhile
        if fd < 0:
            _start(run, name)  # raises when it can't
            fd = _connect(run, name)
    finally:
        os.close(lock)
    if fd < 0:
        raise Unavailable(f"the forkserver of {run} does not answer: try again, or remove {run}/{name}")
    return fd


def _start(run: str, name: str) -> None:
    """Bind the socket ourselves and hand it over: connections queue up from here, nobody waits for the interpreter."""
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    directory = os.open(run, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            os.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            pass
        os.fchmod(listener.fileno(), 0o600)  # so it is from the moment that it has a name
        listener.bind(f"/proc/self/fd/{directory}/{name}")
        listener.listen(128)
        _spawn(listener.fileno(), run, name)
    finally:
        os.close(directory)
        listener.close()


def _spawn(listener: int, run: str, name: str) -> None:
    """The forkserver in a session of its own, with nothing of ours but the listening socket."""
    if not os.access(guard.program(), os.X_OK):
        raise Unsupported(f"the guard {guard.program()} is missing: install utsuwa again, or run make guard in init/c")
    python = getattr(sys, "_base_executable", "") or sys.executable
    worker = _command(python, "duty", "main()")
    arguments = _command(python, "forkserver", f"main({f'{run}/{name}'!r}, {worker!r})")
    spare = fcntl(listener, F_DUPFD_CLOEXEC, 10)  # out of the way of 0 to 3
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0),
        (os.POSIX_SPAWN_DUP2, 0, 1),
        (os.POSIX_SPAWN_OPEN, 2, f"{run}/forks.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, spare, LISTENER),
    ]
    environment = dict([_PATH.split("=", 1)])
    if in_user_namespace():
        environment |= {name: os.environ[name] for name in _OF_USER if name in os.environ}
    try:
        os.posix_spawn(python, arguments, environment, file_actions=actions, setsid=True)
    except OSError as error:
        raise from_oserror(error, f"start the forkserver with {python}") from error
    finally:
        os.close(spare)


def _command(python: str, module: str, call: str) -> list[str]:
    """What calls something of a module of this package in a lean interpreter."""
    code = f"import sys; sys.path.insert(0, {_source()!r}); from utsuwa.monitor.{module} import main; {call}"
    return [python, "-I", "-S", "-X", "utf8", "-c", code]


def _source() -> str:
    """The directory that holds the package."""
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _connect(directory: str, name: str) -> int:
    """A connected stream socket, -1 when nobody listens. By way of a descriptor: a socket's path holds 107 bytes
    only.
    """
    try:
        folder = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return -1
    connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    try:
        connection.connect(f"/proc/self/fd/{folder}/{name}")
        return connection.detach()
    except (FileNotFoundError, ConnectionRefusedError):
        return -1
    except OSError as error:
        raise from_oserror(error, f"connect to {directory}/{name}") from error
    finally:
        connection.close()
        os.close(folder)

"""Have the processes of networks running, and tell them of changes; they end by themselves when nobody needs them."""

from __future__ import annotations

import os
import sys
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_SEQPACKET, socket

from utsuwa.errors import Unavailable, from_oserror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.network.state import Places

RESOLVER, GATE = "resolver", "gate"
"""Such processes (``summoned.py``): a module of this package, and a directory RUN/networks/NAME."""
_FAILURES = {RESOLVER: "names of containers can't be answered", GATE: "ports can't be published"}
LISTENER = 3
"""The descriptor on which they listen for what they are told."""
_SOCKET = "socket"
_TRIES = 4


def summon(places: Places, name: str = RESOLVER) -> None:
    """Return when it does what is needed for all that is written down. Raises Unavailable when it can't."""
    lock = places.lock(name)
    try:
        for attempt in range(_TRIES):
            said = _tell(places, name, wait=True)
            if said == b"!":
                return
            if said:
                raise Unavailable(f"{_FAILURES[name]}: {said.decode(errors='replace')}")
            if attempt < _TRIES - 1:
                _start(places, name)
    except OSError as error:
        raise from_oserror(error, f"start the {name} of the networks") from error
    finally:
        os.close(lock)
    raise Unavailable(f"the {name} of the networks was killed again and again")


def poke(places: Places, name: str = RESOLVER) -> None:
    """Tell it, if it is there, that something has changed."""
    try:
        _tell(places, name, wait=False)
    except OSError:
        return


def _tell(places: Places, name: str, wait: bool) -> bytes:
    """What it answers, b"" when there is none, or it was just ending."""
    try:
        folder = os.open(f"{places.run}/{name}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | (0 if wait else SOCK_NONBLOCK))
    try:
        connection.connect(f"/proc/self/fd/{folder}/{_SOCKET}")
        return connection.recv(4096) if wait else b""
    except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError, BlockingIOError):
        return b""
    finally:
        connection.close()
        os.close(folder)


def _start(places: Places, name: str) -> None:
    """Bind the socket ourselves and hand it over: who connects from here on waits in its queue."""
    folder = os.open(f"{places.run}/{name}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    try:
        try:
            os.unlink(_SOCKET, dir_fd=folder)
        except FileNotFoundError:
            pass
        os.fchmod(listener.fileno(), 0o600)  # so it is from the moment that it has a name
        listener.bind(f"/proc/self/fd/{folder}/{_SOCKET}")
        listener.listen(64)
        _spawn(places, name, listener.fileno())
    finally:
        listener.close()
        os.close(folder)


def _spawn(places: Places, name: str, listener: int) -> None:
    """In a session of its own, with nothing of ours but the socket."""
    python = getattr(sys, "_base_executable", "") or sys.executable
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    root, run = os.path.dirname(places.root), os.path.dirname(places.run)
    begin = f"from utsuwa.network.summoned import main; main({name!r}, {root!r}, {run!r})"
    code = f"import sys; sys.path.insert(0, {source!r}); {begin}"
    spare = os.dup(listener)
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0),
        (os.POSIX_SPAWN_DUP2, 0, 1),
        (os.POSIX_SPAWN_OPEN, 2, f"{places.run}/{name}/log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, spare, LISTENER),
    ]
    try:
        command = [python, "-I", "-S", "-X", "utf8", "-c", code]
        os.posix_spawn(python, command, {"PATH": "/usr/bin:/bin"}, file_actions=actions, setsid=True)
    finally:
        os.close(spare)

"""Have the resolver running, and tell it of changes; it ends by itself when nobody needs it."""

from __future__ import annotations

import os
import sys
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_SEQPACKET, socket

from utsuwa.errors import Unavailable, from_oserror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.network.state import Places

_SOCKET = "socket"
_LISTENER = 3
_TRIES = 4


def summon(places: Places) -> None:
    """Return when the resolver listens in every network that needs it. Raises Unavailable when it can't."""
    lock = places.lock("resolver")
    try:
        for attempt in range(_TRIES):
            said = _tell(places, wait=True)
            if said == b"!":
                return
            if said:
                raise Unavailable(f"names of containers can't be answered: {said.decode(errors='replace')}")
            if attempt < _TRIES - 1:
                _start(places)
    except OSError as error:
        raise from_oserror(error, "start the resolver of the networks") from error
    finally:
        os.close(lock)
    raise Unavailable("the resolver of the networks was killed again and again")


def poke(places: Places) -> None:
    """Tell the resolver, if there is one, that something has changed."""
    try:
        _tell(places, wait=False)
    except OSError:
        return


def _tell(places: Places, wait: bool) -> bytes:
    """What it answers, b"" when there is none, or it was just ending."""
    try:
        folder = os.open(f"{places.run}/resolver", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
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


def _start(places: Places) -> None:
    """Bind the socket ourselves and hand it over: who connects from here on waits in its queue."""
    folder = os.open(f"{places.run}/resolver", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    try:
        try:
            os.unlink(_SOCKET, dir_fd=folder)
        except FileNotFoundError:
            pass
        listener.bind(f"/proc/self/fd/{folder}/{_SOCKET}")
        listener.listen(64)
        _spawn(places, listener.fileno())
    finally:
        listener.close()
        os.close(folder)


def _spawn(places: Places, listener: int) -> None:
    """In a session of its own, with nothing of ours but the socket."""
    python = getattr(sys, "_base_executable", "") or sys.executable
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    root, run = os.path.dirname(places.root), os.path.dirname(places.run)
    code = (
        f"import sys; sys.path.insert(0, {source!r}); from utsuwa.network.resolver import main; main({root!r}, {run!r})"
    )
    spare = os.dup(listener)
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0),
        (os.POSIX_SPAWN_DUP2, 0, 1),
        (os.POSIX_SPAWN_OPEN, 2, f"{places.run}/resolver/log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, spare, _LISTENER),
    ]
    try:
        command = [python, "-I", "-S", "-X", "utf8", "-c", code]
        os.posix_spawn(python, command, {"PATH": "/usr/bin:/bin"}, file_actions=actions, setsid=True)
    finally:
        os.close(spare)

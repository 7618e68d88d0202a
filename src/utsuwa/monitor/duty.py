"""What a process of the forkserver does: read the request on its connection, and live up to it.

A worker that the guard had to start by itself, because there was no forkserver, begins at :func:`main`.
"""

from __future__ import annotations

import os
from _signal import SIG_IGN, SIGHUP, SIGINT, SIGTERM, signal
from _socket import CMSG_SPACE, socket
from struct import Struct

from utsuwa.errors import Error, InvalidArgument
from utsuwa.monitor import frames, memory, reaper
from utsuwa.monitor.guard import descriptors, report
from utsuwa.spec.codec import parse
from utsuwa.spec.record import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.monitor.creator import Creator

CONTROL = 3
_SO_PEERCRED, _SOL_SOCKET = 17, 1
_CREDENTIALS = Struct("iII")
_CLOEXEC = 0x40000000  # MSG_CMSG_CLOEXEC


def main() -> None:
    """A worker by itself, ``python3 -I -S``: descriptor 3 leads to its guard, 2 to the forkserver's log."""
    os.closerange(CONTROL + 1, 1 << 16)
    os.set_inheritable(CONTROL, False)
    os.chdir("/")
    os.umask(0o022)
    for number in (SIGHUP, SIGINT, SIGTERM):
        signal(number, SIG_IGN)
    reaper.ignore_children()
    memory.keep()
    try:
        resume(socket(fileno=CONTROL))
    except EOFError:
        return


def serve(client: socket, creator: Creator, control: socket, busy: int) -> None:
    """Read one request, and do it; what is wrong with it is answered.

    ``control`` leads to the guard. ``busy`` is closed as soon as the process has been started. While the guard is told,
    the creator reads the request, too.
    """
    connection = -1
    try:
        kind, payload, rights = _request(client)
        if kind in (frames.START, frames.EXECUTE):
            creator.announce(kind, payload)
        _check_peer(client)
        connection = client.detach()
        report(control)
        reaper.die_with_parent(False)
        if kind == frames.RESUME and rights:
            creator.dismiss()
            os.close(connection)
            os.close(busy)
            resume(socket(fileno=rights[0]))
        else:
            os.write(connection, frames.pack(frames.ACCEPTED))
            _obey(kind, payload, connection, creator, control, busy)
    except (EOFError, BrokenPipeError):  # the client, or the guard and the forkserver with it, is gone
        pass
    except Error as error:
        _refuse(connection, error)
    except OSError as error:
        from utsuwa.errors import from_oserror

        _refuse(connection, from_oserror(error, error.filename or "monitor"))


def _check_peer(client: socket) -> None:
    """The peer is root or the user that we are. The socket's directory is 0700 already; this is the second lock."""
    _pid, uid, _gid = _CREDENTIALS.unpack(client.getsockopt(_SOL_SOCKET, _SO_PEERCRED, _CREDENTIALS.size))
    if uid not in (0, os.geteuid()):
        raise EOFError


def _obey(kind: int, payload: bytes, connection: int, creator: Creator, control: socket, busy: int) -> None:
    if kind == frames.START:
        from utsuwa.monitor.keeper import keep

        keep(payload, connection, creator, control, busy)
    elif kind == frames.EXECUTE:
        from utsuwa.monitor.executor import execute
        from utsuwa.monitor.records import Execute

        execute(decode(Execute, parse(payload)), connection, creator, control, busy)
    else:
        raise InvalidArgument(f"a request of unknown kind {kind}")


def _refuse(connection: int, error: Error) -> None:
    from utsuwa.monitor.keeper import refuse

    if connection >= 0:
        refuse(connection, error)


def resume(control: socket) -> None:
    """Go on where the last worker of this guard has left off. EOFError when the guard does not want us any more."""
    from utsuwa.monitor.keeper import go_on

    ended, held = report(control)
    if held:
        go_on(held, control, ended)


def _request(client: socket) -> tuple[int, bytes, list[int]]:
    """The first frame, blocking, and what came with it; EOFError when the client goes before it is complete, or sends
    what is none.
    """
    decoder = frames.Decoder()
    received: list[int] = []
    while True:
        data, rights, _flags, _address = client.recvmsg(65536, CMSG_SPACE(4), _CLOEXEC)
        received += descriptors(rights)
        if not data:
            raise EOFError
        try:
            ready = decoder.feed(data)
        except ValueError as error:
            raise EOFError from error
        if ready:
            return *ready[0], received

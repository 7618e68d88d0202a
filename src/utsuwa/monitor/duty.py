"""What a process of the forkserver does: read the request on its connection, and live up to it.

A worker that the guard had to start by itself, because there was no forkserver, begins at :func:`main`.
"""

from __future__ import annotations

import os
from _signal import SIG_IGN, SIGHUP, SIGINT, SIGTERM, signal
from _socket import AF_UNIX, SOCK_STREAM, socket
from struct import Struct

from utsuwa.errors import Error, InvalidArgument
from utsuwa.monitor import frames, memory, reaper
from utsuwa.monitor.guard import report
from utsuwa.spec.codec import parse
from utsuwa.spec.record import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.monitor.creator import Creator
    from utsuwa.monitor.door import Notice

CONTROL = 3
_SO_PEERCRED, _SOL_SOCKET = 17, 1
_CREDENTIALS = Struct("iII")


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


def serve(creator: Creator, control: socket, notice: Notice) -> None:
    """Do what the client wants who comes to the creator; what is wrong with that is answered.

    ``control`` leads to the guard, ``notice`` to the forkserver.
    """
    try:
        kind, payload, (connection, *rights) = creator.request()
    except EOFError:  # nobody comes any more
        return
    try:
        _serve(kind, payload, connection, rights, creator, control, notice)
    except (EOFError, BrokenPipeError):  # the client, or the guard and the forkserver with it, is gone
        pass
    except Error as error:
        _refuse(connection, error)
    except OSError as error:
        from utsuwa.errors import from_oserror

        _refuse(connection, from_oserror(error, error.filename or "monitor"))
    finally:
        notice.started()


def _serve(
    kind: int, payload: bytes, connection: int, rights: list[int], creator: Creator, control: socket, notice: Notice
) -> None:
    _check_peer(connection)
    if kind == frames.RESUME and rights:
        _take_up(control)
        creator.dismiss()
        os.close(connection)
        notice.started()
        resume(socket(fileno=rights[0]))
    else:
        os.write(connection, frames.pack(frames.ACCEPTED))
        _obey(kind, payload, connection, creator, control, notice)


def _check_peer(connection: int) -> None:
    """The peer is root or the user that we are. The socket's directory is 0700 already; this is the second lock."""
    client = socket(AF_UNIX, SOCK_STREAM, 0, connection)
    _pid, uid, _gid = _CREDENTIALS.unpack(client.getsockopt(_SOL_SOCKET, _SO_PEERCRED, _CREDENTIALS.size))
    client.detach()
    if uid not in (0, os.geteuid()):
        raise EOFError


def _obey(kind: int, payload: bytes, connection: int, creator: Creator, control: socket, notice: Notice) -> None:
    if kind == frames.START:
        from utsuwa.monitor.keeper import Claim, keep

        claim = Claim(payload)
        creator.begin()
        _take_up(control)
        keep(claim, connection, creator, control, notice)
    elif kind == frames.EXECUTE:
        from utsuwa.monitor.executor import execute
        from utsuwa.monitor.records import Execute

        _take_up(control)
        execute(decode(Execute, parse(payload)), connection, creator, control, notice)
    else:
        raise InvalidArgument(f"a request of unknown kind {kind}")


def _take_up(control: socket) -> None:
    """From here on the guard and we live whatever becomes of the forkserver. EOFError: the guard is gone."""
    report(control)
    reaper.die_with_parent(False)


def _refuse(connection: int, error: Error) -> None:
    from utsuwa.monitor.keeper import refuse

    refuse(connection, error)


def resume(control: socket) -> None:
    """Go on where the last worker of this guard has left off. EOFError when the guard does not want us any more."""
    from utsuwa.monitor.keeper import go_on

    ended, held = report(control)
    if held:
        go_on(held, control, ended)

"""What a process of the forkserver does: read the request on its connection, and live up to it.

A worker that the guard had to start by itself, because there was no forkserver, begins at :func:`main`.
"""

from __future__ import annotations

import os
from _signal import SIG_IGN, SIGHUP, SIGINT, SIGTERM, signal
from _socket import CMSG_SPACE, socket

from utsuwa.errors import Error, InvalidArgument
from utsuwa.monitor import frames, memory, reaper
from utsuwa.monitor.guard import descriptors, report
from utsuwa.spec.codec import parse
from utsuwa.spec.record import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.monitor.creator import Creator

CONTROL = 3
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


def serve(connection: int, creator: Creator, control: socket, busy: int) -> None:
    """Read one request, and do it; what is wrong with it is answered.

    ``control`` leads to the guard. ``busy`` is closed as soon as the process has been started.
    """
    from utsuwa.monitor.keeper import refuse

    try:
        kind, payload, rights = _request(connection)
        if kind == frames.RESUME and rights:
            os.close(busy)
            os.close(connection)
            creator.dismiss()
            resume(socket(fileno=rights[0]))
            return
        creator.announce(kind, payload)
        if kind == frames.START:
            from utsuwa.monitor.keeper import keep
            from utsuwa.monitor.records import Start

            keep(decode(Start, parse(payload)), connection, creator, control, busy)
        elif kind == frames.EXECUTE:
            from utsuwa.monitor.executor import execute
            from utsuwa.monitor.records import Execute

            execute(decode(Execute, parse(payload)), connection, creator, control, busy)
        else:
            raise InvalidArgument(f"a request of unknown kind {kind}")
    except EOFError:
        pass
    except Error as error:
        refuse(connection, error)
    except OSError as error:
        from utsuwa.errors import from_oserror

        refuse(connection, from_oserror(error, error.filename or "monitor"))


def resume(control: socket) -> None:
    """Go on where the last worker of this guard has left off. EOFError when the guard does not want us any more."""
    from utsuwa.monitor.keeper import go_on

    ended, held = report(control)
    if held:
        go_on(held, control, ended)


def _request(connection: int) -> tuple[int, bytes, list[int]]:
    """The first frame, blocking, and what came with it; EOFError when the client goes before it is complete."""
    decoder = frames.Decoder()
    stream = socket(fileno=os.dup(connection))
    received: list[int] = []
    while True:
        data, rights, _flags, _address = stream.recvmsg(65536, CMSG_SPACE(4), _CLOEXEC)
        received += descriptors(rights)
        if not data:
            raise EOFError
        try:
            ready = decoder.feed(data)
        except ValueError as error:
            raise InvalidArgument(str(error)) from error
        if ready:
            return *ready[0], received

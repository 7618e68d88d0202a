"""What a process of the forkserver does: read the request on its connection, and live up to it."""

from __future__ import annotations

import os

from utsuwa.errors import Error, InvalidArgument
from utsuwa.monitor import frames
from utsuwa.monitor.guard import DONE
from utsuwa.spec.codec import parse
from utsuwa.spec.record import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket

    from utsuwa.monitor.creator import Creator


def serve(connection: int, creator: Creator, control: socket, busy: int) -> int:
    """Read one request, and do it; what is wrong with it is answered. How the worker ends.

    ``control`` leads to the guard. ``busy`` is closed as soon as the process has been started.
    """
    from utsuwa.monitor.keeper import refuse

    try:
        kind, payload = _request(connection)
        creator.announce(kind, payload)
        if kind == frames.START:
            from utsuwa.monitor.keeper import keep
            from utsuwa.monitor.records import Start

            return keep(decode(Start, parse(payload)), connection, creator, control, busy)
        if kind == frames.EXECUTE:
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
    return DONE


def resume(document: bytes, descriptors: list[int], control: socket, ended: int | None) -> int:
    """Go on where the last worker has left off; ``ended`` is the wait status of the container if it has."""
    from utsuwa.monitor.keeper import go_on

    return go_on(document, descriptors, control, ended)


def _request(connection: int) -> tuple[int, bytes]:
    """The first frame, blocking; EOFError when the client goes before it is complete."""
    decoder = frames.Decoder()
    while data := os.read(connection, 65536):
        try:
            ready = decoder.feed(data)
        except ValueError as error:
            raise InvalidArgument(str(error)) from error
        if ready:
            return ready[0]
    raise EOFError

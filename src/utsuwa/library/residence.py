"""The life of an envoy: it enters the user namespace of its user's engine, and does there what a program asks.

It ends with the program: when nobody has the other end of its door, whatever it is doing then. What that leaves behind
is what a program of root's leaves that is killed.
"""

from __future__ import annotations

import os
import pickle
import socket
import threading
from collections.abc import Iterator
from importlib import import_module
from operator import attrgetter

from utsuwa.engine import user_namespace
from utsuwa.errors import KINDS, Error, Internal
from utsuwa.library import parcels
from utsuwa.library.parcels import Wire
from utsuwa.library.services import Services
from utsuwa.linux.mounting import unshare
from utsuwa.monitor.inhabitants import move_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_CLONE_FS = 0x200


def main(descriptor: int, root: str, run: str) -> None:
    """Do what is asked until the program ends. ``descriptor`` is the door."""
    door = socket.socket(fileno=descriptor)
    with open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write("utsuwa-envoy")
    os.set_inheritable(descriptor, False)
    problem = _enter(run)
    services, holder = Services(root, run), user_namespace.holder(run)
    os.chdir("/")
    while rights := socket.recv_fds(door, 1, 1)[1]:
        wire = Wire(socket.socket(fileno=rights[0]), services)
        os.set_inheritable(rights[0], False)
        if problem is None:
            threading.Thread(target=_serve, args=(wire,), daemon=True).start()
            continue
        door.close()  # so that the next call finds another envoy, and perhaps a host that has changed
        _answer(wire, problem)
        break
    user_namespace.forsake(run, holder)
    os._exit(0)


def _enter(run: str) -> Error | None:
    """Go to where the engine lives; why that is impossible."""
    try:
        user_namespace.enter(run)
        move_in(run)
    except Error as error:
        return error
    return None


def _answer(wire: Wire, problem: Error) -> None:
    try:
        wire.receive()
        wire.send(parcels.ERROR, problem)
    except (EOFError, OSError):
        return


def _serve(wire: Wire) -> None:
    """One call, from its coming to its going."""
    try:
        _kind, (module, name, cwd, servant, arguments, options) = wire.receive()
        _go_to(cwd)
        _do(wire, attrgetter(name)(import_module(module)), servant, arguments, options)
    except (EOFError, OSError):  # the program has given up
        pass
    finally:
        wire.close()


def _go_to(directory: str) -> None:
    """Let this thread, and those that it starts, be where the program is: relative paths are meant from there."""
    unshare(_CLONE_FS)
    try:
        os.chdir(directory)
    except OSError:
        return


def _do(wire: Wire, method: Callable[..., Any], servant: object, arguments: Any, options: Any) -> None:
    """Call the method, and send what becomes of it."""
    try:
        value = method(servant, *arguments, **options)
        if isinstance(value, Iterator):
            for item in value:
                wire.send(parcels.ITEM, item)
            value = None
    except BaseException as error:
        wire.send(parcels.ERROR, portable(error))
        return
    try:
        wire.send(parcels.RESULT, value)
        taken = wire.is_thanked()
    except OSError:
        taken = False
    for connection in wire.lent:
        connection.close()
    unmake = getattr(method, "unmake", None)
    if unmake and not taken:
        unmake(servant, value)


def portable(error: BaseException) -> BaseException:
    """The error, or one of the same kind that can be copied."""
    try:
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            return error
    except Exception:  # an object of another shape than what makes it, or one that holds something
        pass
    if not isinstance(error, Error):
        return Internal(f"{type(error).__name__}: {error}")
    kind = next((each for each in KINDS if isinstance(error, each)), Error)
    portable = kind(str(error))
    portable.__dict__ |= {name: value for name, value in vars(error).items() if isinstance(value, (int, str, bytes))}
    return portable

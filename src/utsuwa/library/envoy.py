"""The envoy of an ordinary user's program: a process that does in the user's namespace what can't be done out of it.

A process that has threads can't enter a user namespace, and one that enters becomes somebody else: a library does not
do that to the program which imports it. So methods that are marked with :func:`indoors` are sent there as they stand,
with the object that they are of, when the program is not root's; root's program calls them itself. The first of them
starts the envoy (``residence.py`` is its life), which ends with the program, however that ends. Every call has a
connection of its own, on which it comes and goes, so any number of threads may call. ``parcels.py`` is the language.
"""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Concatenate, ParamSpec, TypeVar

from utsuwa.errors import Internal, Unavailable, from_oserror
from utsuwa.library import parcels
from utsuwa.library.parcels import Wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from utsuwa.library.services import Services

    class Servant(Protocol):
        """What has methods that the envoy may have to do."""

        services: Services


S = TypeVar("S", bound="Servant")
P = ParamSpec("P")
T = TypeVar("T")


def indoors(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """The method, done where the engine lives."""

    @functools.wraps(method)
    def done(self: S, /, *arguments: P.args, **options: P.kwargs) -> T:
        envoy = self.services.envoy
        if envoy is None:
            return method(self, *arguments, **options)
        result: T = envoy.call(method, self, arguments, options)
        return result

    return done


def indoors_by_pieces(method: Callable[Concatenate[S, P], Iterator[T]]) -> Callable[Concatenate[S, P], Iterator[T]]:
    """As ``indoors``, for a generator: what it yields comes one by one, as it is asked for or a little earlier."""

    @functools.wraps(method)
    def done(self: S, /, *arguments: P.args, **options: P.kwargs) -> Iterator[T]:
        envoy = self.services.envoy
        if envoy is None:
            return method(self, *arguments, **options)
        return envoy.pieces(method, self, arguments, options)

    return done


def made_indoors(
    unmake: Callable[[Any, Any], object],
) -> Callable[[Callable[Concatenate[S, P], T]], Callable[Concatenate[S, P], T]]:
    """As ``indoors``, for what makes something: ``unmake``, given the object and that, takes it back when the program
    has given up meanwhile.
    """

    def mark(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
        method.unmake = unmake  # type: ignore[attr-defined]
        return indoors(method)

    return mark


class Envoy:
    """The program's end: the door of a process, which is started when somebody calls and there is none."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._door: socket.socket | None = None

    def call(self, method: Callable[..., Any], servant: object, arguments: object, options: object) -> Any:
        """What the method gives there, or raises."""
        wire, value, taken = self._begin(method, servant, arguments, options), None, False
        try:
            _kind, value = self._until(wire, parcels.RESULT)
            taken = True
            wire.thank()
            wire.close()
            return value  # from here on it is our caller's to look after
        except BaseException:
            if unmake := getattr(method, "unmake", None):
                wire.await_end()
                if taken:
                    unmake(servant, value)  # the envoy has done so if it was not thanked
            wire.close()
            raise

    def pieces(self, method: Callable[..., Any], servant: object, arguments: object, options: object) -> Iterator[Any]:
        """What a generator gives there, piece by piece."""
        wire = self._begin(method, servant, arguments, options)
        try:
            while (told := self._until(wire, parcels.ITEM))[0] == parcels.ITEM:
                yield told[1]
        finally:
            wire.close()

    def _begin(self, method: Callable[..., Any], servant: object, arguments: Any, options: Any) -> Wire:
        """Send the call, and what it gives along."""
        ours, theirs = socket.socketpair()
        wire = Wire(ours, self._services)
        try:
            with theirs:
                self._hand_in(theirs)
            wire.functions = [each for each in (*arguments, *options.values()) if _is_function(each)]
            wire.send(parcels.CALL, (method.__module__, method.__qualname__, _cwd(), servant, arguments, options))
            for chunk in wire.chunks or ():
                if chunk:
                    wire.send_chunk(chunk)
            if wire.chunks:
                wire.send_chunk(b"")
        except (BrokenPipeError, ConnectionResetError):  # it has said why, or is gone: we shall read that
            pass
        except BaseException:
            wire.close()
            raise
        return wire

    def _until(self, wire: Wire, wanted: int) -> tuple[int, Any]:
        """The next thing of that kind, or the result; raises the error that the method ended with."""
        while True:
            try:
                kind, value = wire.receive()
            except EOFError:
                raise Unavailable("the process that works for this program in the user namespace was killed") from None
            if kind == parcels.TELL:
                wire.functions[value[0]](*value[1])
            elif kind == parcels.ERROR:
                raise value
            elif kind in (wanted, parcels.RESULT):
                return kind, value

    def _hand_in(self, connection: socket.socket) -> None:
        """Give one end of a connection to the envoy; another one is started where the last was killed."""
        with self._lock:
            for _ in range(2):
                if self._door is None:
                    self._door = _start(self._services.paths.root, self._services.paths.run)
                    weakref.finalize(self, self._door.close)
                try:
                    socket.send_fds(self._door, [b"!"], [connection.fileno()])
                    return
                except (BrokenPipeError, ConnectionResetError):
                    self._door.close()
                    self._door = None
        raise Unavailable("the process that works for this program in the user namespace ends as soon as it is started")


def _start(root: str, run: str) -> socket.socket:
    """Start the envoy; the door. It is no child of ours: a program may wait for any of its own."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with theirs:
        code = (
            f"import os, sys\nif os.fork(): os._exit(0)\nsys.path.insert(0, {source!r})\n"
            f"from utsuwa.library.residence import main; main({theirs.fileno()}, {root!r}, {run!r})"
        )
        try:
            started = subprocess.run(
                [sys.executable, "-I", "-X", "utf8", "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                check=False,
            )
        except OSError as error:
            ours.close()
            raise from_oserror(error, f"start {sys.executable}") from error
    if started.returncode:
        raise Internal(f"{sys.executable} does not start: it ended with {started.returncode}")
    return ours


def _is_function(value: object) -> bool:
    return callable(value) and not isinstance(value, type)


def _cwd() -> str:
    """Where relative paths begin, "" in a directory that has gone."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""

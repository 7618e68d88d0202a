"""The resolver of all networks: one small process, there while containers that ask it run.

It listens on the host's address in every such network. Names of containers it answers itself, everything else it
passes on to the host's servers, or to those that the container was given. ``summons.py`` starts it, and tells it of
changes.
"""

from __future__ import annotations

import os
import time
from _socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_IPV6,
    IPV6_V6ONLY,
    SO_REUSEADDR,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
)
from select import POLLIN, POLLOUT, poll

from utsuwa.network import dns, files, ground
from utsuwa.network.directory import Directory
from utsuwa.network.summoned import hear

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.network.state import Places

_LOOK_AROUND = 60.0
"""Seconds after which it looks whether somebody needs it still, should nobody have told."""
_PATIENCE, _TRIES, _MOST, _EACH = 4.0, 3, 512, 32
"""Seconds that a server may take, how many servers are asked, and how many questions may be under way: of all, and of
one container, which must not be in the way of others.
"""
_SIZE = 1 << 16
_UNWILLING = (dns.SERVER_FAILURE, dns.REFUSED)
"""Answers of servers after which another one is asked."""


class Resolver:
    """The sockets, and what is to be done when one of them has something."""

    def __init__(self, places: Places, control: socket) -> None:
        self._places, self._directory = places, Directory(places)
        self._control = control
        self._poll = poll()
        self._acts: dict[int, Callable[[], None]] = {}
        self._deadlines: dict[int, tuple[float, Callable[[], None]]] = {}
        self._listeners: dict[tuple[str, int], list[socket]] = {}
        self._under_way: dict[str, int] = {}
        self._watch(control, self._told)

    def serve(self) -> None:
        """Until there is no network left to listen in."""
        next_look = time.monotonic() + _LOOK_AROUND
        while True:
            soonest = min([next_look, *(deadline for deadline, _ in self._deadlines.values())])
            for descriptor, _ in self._poll.poll(max(0, int((soonest - time.monotonic()) * 1000) + 1)):
                act = self._acts.get(descriptor)
                if act:
                    act()
            for deadline, expire in list(self._deadlines.values()):
                if deadline <= time.monotonic():
                    expire()
            if time.monotonic() >= next_look:
                self._listen()
                next_look = time.monotonic() + _LOOK_AROUND
            if not self._listeners and self._heard:
                return

    _heard = False

    def _told(self) -> None:
        """Something has changed."""
        hear(self._control, self._listen)
        self._heard = True

    def _listen(self) -> str:
        """Have sockets for exactly the networks where somebody asks us; what went wrong, "" for nothing."""
        self._directory.refresh()
        wanted, problem = self._directory.listeners(), ""
        for place in self._listeners.keys() - wanted:
            for each in self._listeners.pop(place):
                self._drop(each)
        for address, port in wanted - self._listeners.keys():
            try:
                self._open(address, port, *ground.on(self._places, _listening, address, port))
            except OSError as error:
                problem = f"{address} port {port}: {(error.strerror or '').lower()}"
        return problem

    def _open(self, address: str, port: int, *opened: socket) -> None:
        self._watch(opened[0], lambda: self._datagram(opened[0], address))
        self._watch(opened[1], lambda: self._connection(opened[1], address))
        self._listeners[address, port] = list(opened)

    def _datagram(self, listener: socket, gateway: str) -> None:
        try:
            data, client = listener.recvfrom(_SIZE)
        except OSError:
            return

        def reply(answer: bytes) -> None:
            try:
                listener.sendto(answer, client)
            except OSError:  # it went away, or the network did
                return

        self._handle(data, (client[0], gateway), reply, stream=False)

    def _connection(self, listener: socket, gateway: str) -> None:
        try:
            descriptor, client = listener._accept()  # type: ignore[attr-defined]
        except OSError:
            return
        connection = socket(listener.family, SOCK_STREAM, 0, descriptor)
        connection.setblocking(False)
        received = bytearray()

        def finish(answer: bytes = b"") -> None:
            if connection.fileno() < 0:  # it took too long
                return
            try:
                if answer:
                    connection.send(len(answer).to_bytes(2, "big") + answer)
            except OSError:
                pass
            self._drop(connection)
            self._end(client[0])

        def read() -> None:
            try:
                piece = connection.recv(_SIZE)
            except OSError:
                piece = b""
            received.extend(piece)
            if not piece:
                finish()
            elif len(received) >= 2 and len(received) >= 2 + int.from_bytes(received[:2], "big"):
                self._poll.unregister(connection.fileno())
                self._acts.pop(connection.fileno(), None)
                self._deadlines[connection.fileno()] = (time.monotonic() + _PATIENCE * _TRIES, finish)
                self._handle(bytes(received[2:]), (client[0], gateway), finish, stream=True)

        if not self._begin(client[0]):
            connection.close()
            return
        self._watch(connection, read)
        self._deadlines[connection.fileno()] = (time.monotonic() + _PATIENCE, finish)

    def _handle(self, data: bytes, way: tuple[str, str], reply: Callable[[bytes], None], stream: bool) -> None:
        """Answer a question, or pass it on. ``way``: who asks, and the address that was asked."""
        source = way[0]
        try:
            question = dns.Question(data)
        except ValueError:
            return
        self._directory.refresh()
        room = _SIZE if stream else question.room
        if not question.is_query:
            reply(question.answer(dns.NOT_IMPLEMENTED, [], room))
            return
        if not self._directory.admits(*way):
            reply(question.answer(dns.REFUSED, [], room))
            return
        answer = self._directory.answer(source, question, room)
        if answer is not None:
            reply(answer)
            return
        servers = self._directory.upstream(*way)
        if servers == []:
            servers = files.host_servers()
        if not servers:  # not SERVER_FAILURE: musl would ask again until its time is over
            reply(question.answer(dns.NO_SUCH_NAME, [], room))
        elif self._begin(source):

            def end(answer: bytes) -> None:
                self._end(source)
                reply(answer)

            Forward(self, data, question, servers[:_TRIES], end, stream).go_on()
        elif stream:
            reply(b"")

    def _begin(self, source: str) -> bool:
        """Whether one more may be under way for a container; then it has to be ended."""
        count = self._under_way.get(source, 0)
        if count >= _EACH or len(self._deadlines) >= _MOST:
            return False
        self._under_way[source] = count + 1
        return True

    def _end(self, source: str) -> None:
        self._under_way[source] -= 1
        if not self._under_way[source]:
            del self._under_way[source]

    # --- for what is under way ---------------------------------------------------------------------------------------

    def _watch(self, each: socket, act: Callable[[], None], events: int = POLLIN) -> None:
        self._poll.register(each.fileno(), events)
        self._acts[each.fileno()] = act

    def _drop(self, each: socket) -> None:
        number = each.fileno()
        if number in self._acts:
            self._poll.unregister(number)
            del self._acts[number]
        self._deadlines.pop(number, None)
        each.close()

    def follow(self, each: socket, act: Callable[[], None], expire: Callable[[], None], events: int) -> None:
        """Call ``act`` when a socket is ready, ``expire`` when it took too long."""
        self._watch(each, act, events)
        self._deadlines[each.fileno()] = (time.monotonic() + _PATIENCE, expire)

    def forget(self, each: socket) -> None:
        """Close a socket that was followed."""
        self._drop(each)


def _listening(address: str, port: int) -> list[socket]:
    """Sockets for datagrams and for streams."""
    family = AF_INET6 if ":" in address else AF_INET
    opened: list[socket] = []
    try:
        for kind in (SOCK_DGRAM, SOCK_STREAM):
            each = socket(family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC)
            opened.append(each)
            if family == AF_INET6:
                each.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1)
            if kind == SOCK_STREAM:
                each.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            each.bind((address, port))
        opened[1].listen(16)
    except OSError:
        for each in opened:
            each.close()
        raise
    return opened


class Forward:
    """A question that servers elsewhere are asked, one after the other until one answers."""

    def __init__(
        self,
        resolver: Resolver,
        data: bytes,
        question: dns.Question,
        servers: list[str],
        reply: Callable[[bytes], None],
        stream: bool,
    ) -> None:
        self._resolver, self._question, self._reply, self._stream = resolver, question, reply, stream
        self._servers = list(servers)
        self._number = os.urandom(2)  # nobody else's guess, and from another port each time
        asked = self._number + data[2:]
        self._asked = len(asked).to_bytes(2, "big") + asked if stream else asked
        self._received = b""
        self._socket: socket | None = None

    def go_on(self) -> None:
        """Ask the next server; without one left the answer is that there is none."""
        if self._socket:
            self._resolver.forget(self._socket)
            self._socket, self._received = None, b""
        while self._servers:
            server = self._servers.pop(0)
            family = AF_INET6 if ":" in server else AF_INET
            kind = SOCK_STREAM if self._stream else SOCK_DGRAM
            each = None
            try:
                each = socket(family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC)
                each.connect((server, dns.PORT))
            except BlockingIOError:
                pass
            except (OSError, ValueError):
                if each:
                    each.close()
                continue
            assert each is not None
            self._socket = each
            self._resolver.follow(each, self._send, self.go_on, POLLOUT)
            return
        self._reply(self._question.answer(dns.SERVER_FAILURE, [], _SIZE))

    def _send(self) -> None:
        each = self._socket
        assert each is not None
        try:
            each.send(self._asked)
        except OSError:
            self.go_on()
            return
        self._resolver._poll.modify(each.fileno(), POLLIN)
        self._resolver._acts[each.fileno()] = self._receive

    def _receive(self) -> None:
        assert self._socket is not None
        try:
            piece = self._socket.recv(_SIZE)
        except OSError:
            self.go_on()
            return
        if self._stream:
            self._received += piece
            if piece and len(self._received) < 2 + int.from_bytes(self._received[:2] or b"\xff\xff", "big"):
                return
            piece = self._received[2:]
        if piece[:2] != self._number or not self._question.is_answered_by(piece):
            if self._stream:  # in a datagram it is not the answer to this: wait on
                self.go_on()
            return
        if piece[3] & 0xF in _UNWILLING and self._servers:
            self.go_on()
            return
        self._resolver.forget(self._socket)
        self._reply(self._question.number.to_bytes(2, "big") + piece[2:])

"""Published ports of an ordinary user's containers: what comes to a socket of the host goes on to the container.

Bytes of TCP never come up here: splice(2) moves them by way of a pipe. Sockets towards containers are made by whoever
holds a ``connector``, since they have to be of another network namespace.
"""

from __future__ import annotations

import os
import time
from _socket import SHUT_WR, SO_ERROR, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET, socket
from errno import EAGAIN
from select import EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP
from struct import pack

from utsuwa.linux.libc import call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from select import epoll

    Connector = Callable[[int, int], socket]

_CHUNK = 1 << 20
_ROUNDS = 32
"""As often one connection moves on before it is others' turn."""
_MOVE, _NONBLOCK = 1, 2
_DATAGRAM = 1 << 16
IDLE = 90.0
"""Seconds after which a sender of datagrams that hears nothing and says nothing is forgotten."""
MOST = 4096
"""Connections, and senders of datagrams, at the same time; fewer where so many files can't be open."""
_FILES, _SPARE = 6, 100
"""Descriptors that one connection has, and those of the process besides."""
_NOFILE = 7


def room() -> int:
    """How many flows there may be, once as many files may be open as this process may allow itself. Beyond that a
    client is sent away: one that could not even be accepted would keep us busy for nothing.
    """
    with open("/proc/self/limits", encoding="ascii") as file:
        line = next(line for line in file if line.startswith("Max open files"))
    soft, hard = (int(word) if word.isdigit() else 1 << 20 for word in line.split()[3:5])
    wanted = min(hard, max(soft, MOST * _FILES + _SPARE))
    call("setrlimit", _NOFILE, pack("QQ", wanted, hard))
    return min(MOST, (wanted - _SPARE) // _FILES)


class Watch:
    """Who is to be called when a descriptor is ready, and who has more to do at once."""

    def __init__(self, poll: epoll) -> None:
        self.poll = poll
        self.acts: dict[int, Callable[[int], None]] = {}
        self.eager: list[Connection] = []
        self.flows, self.most = 0, MOST

    def add(self, descriptor: int, act: Callable[[int], None], events: int = EPOLLIN) -> None:
        """Call ``act`` with the events."""
        self.acts[descriptor] = act
        self.poll.register(descriptor, events)

    def drop(self, descriptor: int) -> None:
        """Do so no more."""
        if self.acts.pop(descriptor, None):
            self.poll.unregister(descriptor)


class _Half:
    """One direction: a pipe, and how much is in it."""

    __slots__ = ("ended", "held", "pipe", "shut", "source", "target")

    def __init__(self, source: socket, target: socket) -> None:
        self.source, self.target = source.fileno(), target
        self.pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.held, self.ended, self.shut = 0, False, False

    def move(self) -> bool:
        """Move what can be moved; whether something was. Raises OSError when a side has gone."""
        moved = False
        if not self.ended:
            count = _splice(self.source, self.pipe[1])
            self.ended = count == 0
            self.held += max(count, 0)
            moved = count >= 0
        if self.held:
            count = _splice(self.pipe[0], self.target.fileno())
            self.held -= max(count, 0)
            moved = moved or count > 0
        if self.ended and not self.held and not self.shut:
            self.shut = True
            self.target.shutdown(SHUT_WR)
        return moved

    def close(self) -> None:
        os.close(self.pipe[0])
        os.close(self.pipe[1])


def _splice(source: int, target: int) -> int:
    """Bytes that were moved, 0 at the end, -1 when nothing can be just now."""
    try:
        return os.splice(source, target, _CHUNK, flags=_MOVE | _NONBLOCK)
    except BlockingIOError:
        return -1


class Connection:
    """A client of a published port and the container's end, from the accept to the end of both directions."""

    def __init__(self, watch: Watch, client: socket, server: socket) -> None:
        self._watch, self._sockets = watch, (client, server)
        self._halves = (_Half(client, server), _Half(server, client))
        self._connected = False
        events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET
        watch.flows += 1
        watch.add(client.fileno(), self._on_client, events)
        watch.add(server.fileno(), self._on_server, events)

    def _on_client(self, _events: int) -> None:
        if self._connected:
            self.go_on()

    def _on_server(self, events: int) -> None:
        if not self._connected:
            if self._sockets[1].getsockopt(SOL_SOCKET, SO_ERROR) or not events & (EPOLLOUT | EPOLLHUP | EPOLLERR):
                self.close()
                return
            self._connected = True
        self.go_on()

    def go_on(self) -> None:
        """Until nothing moves any more; after a while it is somebody else's turn first."""
        if not self._halves:
            return
        try:
            for _ in range(_ROUNDS):
                first, second = self._halves
                if not first.move() | second.move():
                    break
            else:
                self._watch.eager.append(self)
        except OSError:
            self.close()
            return
        if all(half.shut for half in self._halves):
            self.close()

    def close(self) -> None:
        """Let go of both sides."""
        if self._halves:
            self._watch.flows -= 1
        for each in self._sockets:
            self._watch.drop(each.fileno())
            each.close()
        for half in self._halves:
            half.close()
        self._sockets, self._halves = (), ()  # type: ignore[assignment]


class Stream:
    """A listening socket of the host whose clients are led to ``target``."""

    def __init__(self, watch: Watch, listener: socket, target: tuple[str, int], connect: Connector) -> None:
        self._watch, self._listener, self._target, self._connect = watch, listener, target, connect
        watch.add(listener.fileno(), self._accept)

    def _accept(self, _events: int) -> None:
        try:
            descriptor, _ = self._listener._accept()  # type: ignore[attr-defined]
        except OSError:
            return
        client = socket(self._listener.family, SOCK_STREAM, 0, descriptor)
        client.setblocking(False)
        if self._watch.flows >= self._watch.most:
            client.close()
            return
        try:
            server = self._connect(_family(self._target), SOCK_STREAM)
        except OSError:
            client.close()
            return
        try:
            if server.connect_ex(self._target) not in (0, 115):
                raise OSError
            Connection(self._watch, client, server)
        except OSError:
            client.close()
            server.close()

    def expire(self, _now: float) -> None:
        """Connections end by themselves."""

    def close(self) -> None:
        """Take no more clients; those that are there stay."""
        self._watch.drop(self._listener.fileno())
        self._listener.close()


class Datagrams:
    """A socket of the host whose datagrams are led to ``target``; each sender has a socket there, for the answers."""

    def __init__(self, watch: Watch, listener: socket, target: tuple[str, int], connect: Connector) -> None:
        self._watch, self._listener, self._target, self._connect = watch, listener, target, connect
        self._senders: dict[tuple[object, ...], tuple[socket, float]] = {}
        watch.add(listener.fileno(), self._receive)

    def _receive(self, _events: int) -> None:
        try:
            data, sender = self._listener.recvfrom(_DATAGRAM)
            found = self._senders.get(sender)
            server = found[0] if found else self._met(sender)
            self._senders[sender] = (server, time.monotonic())
            server.send(data)
        except OSError:  # nobody is there, or too much is under way: it is lost, as datagrams may be
            return

    def _met(self, sender: tuple[object, ...]) -> socket:
        if self._watch.flows >= self._watch.most:
            raise OSError(EAGAIN, "too many")
        server = self._connect(_family(self._target), SOCK_DGRAM)
        try:
            server.connect(self._target)
        except OSError:
            server.close()
            raise
        self._watch.flows += 1
        self._watch.add(server.fileno(), lambda _events: self._answer(sender, server))
        return server

    def _answer(self, sender: tuple[object, ...], server: socket) -> None:
        try:
            self._listener.sendto(server.recv(_DATAGRAM), sender)
            self._senders[sender] = (server, time.monotonic())
        except OSError:
            return

    def expire(self, now: float) -> None:
        """Forget who has been silent for long."""
        for sender, (server, last) in list(self._senders.items()):
            if now - last > IDLE:
                self._forget(sender, server)

    def _forget(self, sender: tuple[object, ...], server: socket) -> None:
        del self._senders[sender]
        self._watch.flows -= 1
        self._watch.drop(server.fileno())
        server.close()

    def close(self) -> None:
        """Close all of it."""
        for sender, (server, _) in list(self._senders.items()):
            self._forget(sender, server)
        self._watch.drop(self._listener.fileno())
        self._listener.close()


def _family(target: tuple[str, int]) -> int:
    from _socket import AF_INET, AF_INET6

    return int(AF_INET6 if ":" in target[0] else AF_INET)

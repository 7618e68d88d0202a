"""The gate between the host and an ordinary user's networks: one small process, there while their containers run.

It keeps the program that is their way out (``uplink.py``), and listens on the host for the ports that are published,
for which nobody needs rights (``relay.py``). ``summons.py`` starts it, and tells it of changes.
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
from select import EPOLL_CLOEXEC, epoll

from utsuwa.errors import Error
from utsuwa.network import ground
from utsuwa.network.relay import Datagrams, Stream, Watch, room
from utsuwa.network.summoned import hear
from utsuwa.network.uplink import Uplink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.network.records import Endpoint
    from utsuwa.network.state import Places
    from utsuwa.spec.request import PublishedPort

    Key = tuple[str, str, int, str, int]

_LOOK_AROUND = 30.0
"""Seconds after which it looks whether somebody needs it still, should nobody have told."""
_STEADY = 1.0
"""Seconds after which a program that has ended is not thought to do so again and again."""
_STOCK = 8
"""As many sockets of the other namespace are made at once."""


class Gate:
    """The listening sockets, and what is to be done when something comes."""

    def __init__(self, places: Places, control: socket) -> None:
        self._places, self._control = places, control
        self._watch = Watch(epoll(flags=EPOLL_CLOEXEC))
        self._watch.most = room()
        self._watch.add(control.fileno(), self._told)
        self._uplink = Uplink(ground.pin(places), f"{places.run}/gate")
        self._relays: dict[Key, Stream | Datagrams] = {}
        self._stock: dict[tuple[int, int], list[socket]] = {}
        self._needed, self._heard, self._began = True, False, 0.0

    def serve(self) -> None:
        """Until no container is left."""
        next_look = time.monotonic() + _LOOK_AROUND
        while self._needed or not self._heard:
            patience = 0 if self._watch.eager else max(0.0, next_look - time.monotonic())
            for descriptor, events in self._watch.poll.poll(patience):
                act = self._watch.acts.get(descriptor)
                if act:
                    act(events)
            eager, self._watch.eager = self._watch.eager, []
            for connection in eager:
                connection.go_on()
            if time.monotonic() >= next_look:
                self._open()
                next_look = time.monotonic() + _LOOK_AROUND
        self._uplink.end()

    def _told(self, _events: int) -> None:
        """Something has changed."""
        hear(self._control, self._open)
        self._heard = True

    def _open(self) -> str:
        """Have the way out, and exactly the ports that are published; what went wrong, "" for nothing."""
        endpoints = [each for network in self._places.active() for each in self._places.endpoints(network)]
        self._needed = bool(endpoints)
        if self._needed and self._uplink.process < 0:
            self._lead_out()
        for relay in self._relays.values():
            relay.expire(time.monotonic())
        wanted, problem = _wanted(endpoints), ""
        for key in self._relays.keys() - wanted:
            self._relays.pop(key).close()
        for key in sorted(wanted - self._relays.keys()):
            try:
                self._listen(key)
            except OSError as error:
                problem = f"{key[1]}:{key[2]}/{key[0]}: {(error.strerror or '').lower()}"
        return problem

    def _lead_out(self) -> None:
        """Without a way out containers still reach each other, and are reached."""
        try:
            ground.on(self._places, lambda: None)  # makes it
            self._began = time.monotonic()
            if self._uplink.start():
                self._watch.add(self._uplink.process, self._lost)
        except (Error, OSError) as error:
            os.write(2, f"no way out: {error}\n".encode())

    def _lost(self, _events: int) -> None:
        """The program has ended: somebody killed it. Another one is had at once, unless it was a new one."""
        self._watch.drop(self._uplink.process)
        self._uplink.end()
        if time.monotonic() - self._began > _STEADY:
            self._lead_out()

    def _listen(self, key: Key) -> None:
        protocol, address, number, target, port = key
        family = AF_INET6 if ":" in address else AF_INET
        kind = SOCK_STREAM if protocol == "tcp" else SOCK_DGRAM
        listener = socket(family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC)
        try:
            if family == AF_INET6:
                listener.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1)
            if kind == SOCK_STREAM:
                listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            listener.bind((address, number))
            if kind == SOCK_STREAM:
                listener.listen(1024)
        except OSError:
            listener.close()
            raise
        relay = Stream if kind == SOCK_STREAM else Datagrams
        self._relays[key] = relay(self._watch, listener, (target, port), self._socket)

    def _socket(self, family: int, kind: int) -> socket:
        """One of the namespace where bridges stand."""
        stock = self._stock.setdefault((family, kind), [])
        if not stock:
            stock += ground.on(
                self._places, lambda: [socket(family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC) for _ in range(_STOCK)]
            )
        return stock.pop()


def _wanted(endpoints: list[Endpoint]) -> set[Key]:
    """Protocol, address and port of the host, address and port of the container, for all that is published."""
    found: set[Key] = set()
    for endpoint in endpoints:
        for port in endpoint.ports:
            bare = [address.partition("/")[0] for address in endpoint.addresses]
            for address in _hosts(port):
                target = next((each for each in bare if (":" in each) == (":" in address)), bare[0] if bare else "")
                if target and port.protocol in ("tcp", "udp"):
                    found.add((port.protocol, address, port.host_port, target, port.port))
    return found


def _hosts(port: PublishedPort) -> tuple[str, ...]:
    """The addresses of the host on which a port is published."""
    if port.host_ip:
        return (port.host_ip,)
    return ("0.0.0.0", "::") if os.path.exists("/proc/net/if_inet6") else ("0.0.0.0",)

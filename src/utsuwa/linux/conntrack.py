"""Connections that the kernel tracks (linux/netfilter/nfnetlink_conntrack.h): those to a port, found and forgotten."""

from __future__ import annotations

import os
from _socket import AF_INET, AF_INET6, AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW, inet_ntop, socket

from utsuwa.linux.netlink import (
    ACK,
    DONE,
    DUMP,
    ERROR,
    NEST,
    ROOM,
    attribute,
    attributes,
    await_answers,
    message,
    number,
    split,
)

_NETFILTER = 12
_GET, _DELETE = 1 << 8 | 1, 1 << 8 | 2
_ORIGINAL, _REPLY, _ZONE, _FILTER = 1, 2, 18, 25
_ADDRESSES, _TRANSPORT = 1, 2
_NUMBER, _TO_PORT = 1, 3
_BY_PROTOCOL_AND_PORT = 1 << 3 | 1 << 5
_FROM, _TO = {AF_INET: 1, AF_INET6: 3}, {AF_INET: 2, AF_INET6: 4}


class Flow:
    """A connection: ``to`` is where its first packet went, ``answers`` from where the kernel expects its answers."""

    __slots__ = ("answers", "key", "to")

    def __init__(self, family: int, has: dict[int, bytes]) -> None:
        self.to = _address(family, has.get(_ORIGINAL, b""), _TO)
        self.answers = _address(family, has.get(_REPLY, b""), _FROM)
        self.key = attribute(_ORIGINAL | NEST, has.get(_ORIGINAL, b""))
        if _ZONE in has:
            self.key += attribute(_ZONE, has[_ZONE])


class Connections:
    """A conversation with the kernel about the connections of this network namespace and one family of addresses.

    Raises OSError where it does not speak of them.
    """

    def __init__(self, family: int) -> None:
        self._family = family
        self._socket = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, _NETFILTER)

    def __enter__(self) -> Connections:
        return self

    def __exit__(self, *_problem: object) -> None:
        self._socket.close()

    def to_port(self, protocol: int, port: int) -> list[Flow]:
        """Those of a protocol (its number) whose first packet went to a port. Kernels before 5.8 tell of all."""
        where = attribute(_NUMBER, bytes((protocol,))) + attribute(_TO_PORT, port.to_bytes(2, "big"))
        asked = attribute(_ORIGINAL | NEST, attribute(_TRANSPORT | NEST, where))
        asked += attribute(_FILTER | NEST, attribute(1, _BY_PROTOCOL_AND_PORT.to_bytes(4, "little")))
        self._socket.send(message(_GET, DUMP, 1, bytes((self._family, 0, 0, 0)) + asked))
        found: list[Flow] = []
        while True:
            for kind, body in split(self._socket.recv(ROOM)):
                if kind == DONE:
                    return found
                if kind == ERROR:
                    raise OSError(number(body), os.strerror(number(body)))
                has = attributes(body[4:])
                transport = attributes(attributes(has.get(_ORIGINAL, b"")).get(_TRANSPORT, b""))
                if (transport.get(_NUMBER), transport.get(_TO_PORT)) == (bytes((protocol,)), port.to_bytes(2, "big")):
                    found.append(Flow(self._family, has))

    def forget(self, flow: Flow) -> None:
        """Treat the connection's next packet as a first one. Raises OSError (ENOENT when it has ended)."""
        self._socket.send(message(_DELETE, ACK, 1, bytes((self._family, 0, 0, 0)) + flow.key))
        await_answers(self._socket, 1)


def _address(family: int, direction: bytes, which: dict[int, int]) -> str:
    data = attributes(attributes(direction).get(_ADDRESSES, b"")).get(
        which[AF_INET6 if family == AF_INET6 else AF_INET]
    )
    return inet_ntop(family, data) if data else ""

"""rtnetlink(7): links, addresses and routes of the network namespace that a socket was made in.

A message is made by a function of its own below; :meth:`Route.do` sends several at once and waits for the kernel's
answer to each. Numbers are those of linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h.
"""

from __future__ import annotations

import os
from _socket import AF_INET, AF_INET6, AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW, inet_ntop, inet_pton, socket
from _struct import Struct

from utsuwa.linux.netlink import (
    ACK,
    CREATE,
    DONE,
    DUMP,
    ERROR,
    EXCLUSIVE,
    REPLACE,
    ROOM,
    attribute,
    attributes,
    await_answers,
    message,
    number,
    split,
)

_LINK = Struct("=BxHiII")
_ADDRESS = Struct("=BBBBI")
_ROUTE = Struct("=BBBBBBBBI")

_NEWLINK, _DELLINK, _GETLINK, _SETLINK = 16, 17, 18, 19
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_IFF_UP = 1
_BRIDGE = 7  # PF_BRIDGE
_NODAD = 0x02
_MAIN, _LOCAL, _STATIC, _UNIVERSE, _UNICAST = 254, 255, 4, 0, 1

NAME_LIMIT = 15
"""Bytes of an interface's name."""


class Link:
    """An interface: its index, name, alias ("" without), index of the bridge it belongs to (0: none), and if it is
    up.
    """

    __slots__ = ("alias", "index", "kind", "mac", "master", "name", "up")

    def __init__(self, index: int, up: bool, has: dict[int, bytes]) -> None:
        self.index, self.up = index, up
        self.name = _text(has.get(3, b""))
        self.alias = _text(has.get(20, b""))
        self.master = int.from_bytes(has.get(10, b""), "little")
        self.mac = has.get(1, b"").hex(":")
        self.kind = _text(attributes(has.get(18, b"")).get(1, b""))


class Route:
    """A conversation with the kernel. ``descriptor``: a socket that somebody else has made, which is then ours."""

    def __init__(self, descriptor: int = -1) -> None:
        if descriptor < 0:
            self._socket = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0)
        else:
            self._socket = socket(AF_NETLINK, SOCK_RAW, 0, descriptor)
        self._number = 0

    def __enter__(self) -> Route:
        return self

    def __exit__(self, *_problem: object) -> None:
        self._socket.close()

    def do(self, *messages: tuple[int, int, bytes]) -> None:
        """Carry out messages in order. Raises OSError for the first that fails; those behind it are tried, too."""
        packed = []
        for kind, flags, body in messages:
            self._number += 1
            packed.append(message(kind, ACK | flags, self._number, body))
        self._socket.send(b"".join(packed))
        await_answers(self._socket, len(messages))

    def link(self, name: str) -> Link | None:
        """The interface of a name, None when there is none."""
        self._number += 1
        body = _LINK.pack(0, 0, 0, 0, 0) + attribute(3, name.encode() + b"\0")
        self._socket.send(message(_GETLINK, 0, self._number, body))
        for kind, answer in split(self._socket.recv(ROOM)):
            if kind == _NEWLINK:
                return _link(answer)
        return None

    def links(self) -> list[Link]:
        """Every interface."""
        return [_link(body) for body in self._dump(_GETLINK, _LINK.pack(0, 0, 0, 0, 0))]

    def routes(self, family: int) -> list[tuple[int, int, int]]:
        """What the main table leads to, but for default routes: network as a number, prefix length, interface."""
        found = []
        for body in self._dump(_GETROUTE, _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)):
            _, length, _, _, table, _, _, kind, _ = _ROUTE.unpack_from(body)
            has = attributes(body[_ROUTE.size :])
            if table == _MAIN and kind == _UNICAST and length and 1 in has:
                index = int.from_bytes(has.get(4, b""), "little")
                found.append((int.from_bytes(has[1], "big"), length, index))
        return found

    def addresses(self, index: int = 0) -> list[tuple[str, int]]:
        """Addresses and prefix lengths of an interface, or of all."""
        found = []
        for body in self._dump(_GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0)):
            family, length, _, _, at = _ADDRESS.unpack_from(body)
            has = attributes(body[_ADDRESS.size :])
            data = has.get(2) or has.get(1)
            if data and family in (AF_INET, AF_INET6) and index in (0, at):
                found.append((inet_ntop(family, data), length))
        return found

    def _dump(self, kind: int, body: bytes) -> list[bytes]:
        self._number += 1
        self._socket.send(message(kind, DUMP, self._number, body))
        found: list[bytes] = []
        while True:
            for answer, data in split(self._socket.recv(ROOM)):
                if answer == DONE:
                    return found
                if answer == ERROR:
                    raise OSError(number(data), os.strerror(number(data)))
                found.append(data)


def new_bridge(name: str, mtu: int, mac: bytes) -> tuple[int, int, bytes]:
    """A bridge that is down. Its alias can only be set once it is there. Without ``mac`` it would change with its
    ports.
    """
    kind = attribute(1, mac) + attribute(18, attribute(1, b"bridge"))
    body = _LINK.pack(0, 0, 0, 0, 0) + attribute(3, name.encode() + b"\0") + attribute(4, _u32(mtu)) + kind
    return _NEWLINK, CREATE | EXCLUSIVE, body


OF_PROCESS, OF_DESCRIPTOR = 19, 28
"""Two ways to name a network namespace: by the pid of a process in it, or by a descriptor."""


def new_veth(
    name: str, mtu: int, bridge: int, peer: str, mac: bytes, namespace: tuple[int, int]
) -> tuple[tuple[int, int, bytes], ...]:
    """A pair: one end comes up in a bridge, without an address of its own; the other is ``peer``, with ``mac``, in
    ``namespace``: OF_PROCESS or OF_DESCRIPTOR, and the number.
    """
    other = _LINK.pack(0, 0, 0, 0, 0) + attribute(3, peer.encode() + b"\0") + attribute(1, mac)
    other += attribute(4, _u32(mtu)) + attribute(namespace[0], _u32(namespace[1]))
    about = attribute(1, b"veth") + attribute(2, attribute(1, other))
    called = attribute(3, name.encode() + b"\0")
    body = _LINK.pack(0, 0, 0, 0, 0) + called + attribute(4, _u32(mtu))
    modes = attribute(26, attribute(AF_INET6, attribute(8, b"\1")))
    return (
        (_NEWLINK, CREATE | EXCLUSIVE, body + attribute(10, _u32(bridge)) + attribute(18, about)),
        (_NEWLINK, 0, _LINK.pack(0, 0, 0, 0, 0) + called + modes),
        (_NEWLINK, 0, _LINK.pack(0, 0, 0, _IFF_UP, _IFF_UP) + called),
    )


def set_alias(index: int, alias: str) -> tuple[int, int, bytes]:
    """A note on an interface."""
    return _NEWLINK, 0, _LINK.pack(0, 0, index, 0, 0) + attribute(20, alias.encode())


def set_up(index: int) -> tuple[int, int, bytes]:
    """Bring an interface up."""
    return _NEWLINK, 0, _LINK.pack(0, 0, index, _IFF_UP, _IFF_UP)


def isolate(index: int) -> tuple[int, int, bytes]:
    """Let a port of a bridge speak to the bridge itself only, not to other ports of this kind."""
    return _SETLINK, 0, _LINK.pack(_BRIDGE, 0, index, 0, 0) + attribute(12 | 0x8000, attribute(33, b"\1"))


def reflect(index: int) -> tuple[int, int, bytes]:
    """Let a port of a bridge get back what it sent (hairpin mode)."""
    return _SETLINK, 0, _LINK.pack(_BRIDGE, 0, index, 0, 0) + attribute(12 | 0x8000, attribute(4, b"\1"))


def no_link_local(index: int) -> tuple[int, int, bytes]:
    """Keep an interface from giving itself an address of IPv6 when it comes up."""
    modes = attribute(AF_INET6, attribute(8, b"\1"))
    return _NEWLINK, 0, _LINK.pack(0, 0, index, 0, 0) + attribute(26, modes)


def delete_link(name: str) -> tuple[int, int, bytes]:
    """Remove an interface by its name."""
    return _DELLINK, 0, _LINK.pack(0, 0, 0, 0, 0) + attribute(3, name.encode() + b"\0")


def add_address(index: int, address: str, length: int) -> tuple[int, int, bytes]:
    """An address with its prefix; one of IPv6 counts at once, without asking around for doubles."""
    family, data = _packed(address)
    flags = _NODAD if family == AF_INET6 else 0
    body = _ADDRESS.pack(family, length, flags, 0, index) + attribute(2, data) + attribute(1, data)
    if family == AF_INET and length < 31:
        broadcast = int.from_bytes(data, "big") | (1 << (32 - length)) - 1
        body += attribute(4, broadcast.to_bytes(4, "big"))
    return _NEWADDR, CREATE | REPLACE, body


def add_default_route(index: int, gateway: str) -> tuple[int, int, bytes]:
    """The way to everywhere else."""
    return _NEWROUTE, CREATE | REPLACE, _default_route(index, gateway)


def delete_default_route(index: int, gateway: str) -> tuple[int, int, bytes]:
    """Forget that way."""
    return _DELROUTE, 0, _default_route(index, gateway)


def add_local_detour(index: int, address: str, gateway: str, source: str) -> tuple[int, int, bytes]:
    """Lead one address of the loopback network to a gateway: asked before the rest of that network, as it is longer.
    Packets there come from ``source``.
    """
    family, data = _packed(address)
    head = _ROUTE.pack(family, 8 * len(data), 0, 0, _LOCAL, _STATIC, _UNIVERSE, _UNICAST, 0)
    way = attribute(5, _packed(gateway)[1]) + attribute(4, _u32(index)) + attribute(7, _packed(source)[1])
    return _NEWROUTE, CREATE | REPLACE, head + attribute(1, data) + way


def _default_route(index: int, gateway: str) -> bytes:
    family, data = _packed(gateway)
    head = _ROUTE.pack(family, 0, 0, 0, _MAIN, _STATIC, _UNIVERSE, _UNICAST, 0)
    return head + attribute(5, data) + attribute(4, _u32(index))


def _packed(address: str) -> tuple[int, bytes]:
    family = int(AF_INET6 if ":" in address else AF_INET)
    return family, inet_pton(family, address)


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "little")


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "surrogateescape")


def _link(body: bytes) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(body)
    return Link(index, bool(flags & _IFF_UP), attributes(body[_LINK.size :]))

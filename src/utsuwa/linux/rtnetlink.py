"""rtnetlink(7): links, addresses and routes of the network namespace that a socket was made in.

A message is made by a function of its own below; :meth:`Route.do` sends several at once and waits for the kernel's
answer to each. Numbers are those of linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h.
"""

from __future__ import annotations

import os
from _socket import AF_INET, AF_INET6, AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW, inet_ntop, inet_pton, socket
from _struct import Struct

_HEAD = Struct("=IHHII")
_LINK = Struct("=BxHiII")
_ADDRESS = Struct("=BBBBI")
_ROUTE = Struct("=BBBBBBBBI")
_ATTRIBUTE = Struct("=HH")

_NEWLINK, _DELLINK, _GETLINK, _SETLINK = 16, 17, 18, 19
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_REQUEST, _ACK, _DUMP, _REPLACE, _EXCL, _CREATE = 0x1, 0x4, 0x300, 0x100, 0x200, 0x400
_ERROR, _DONE = 2, 3
_IFF_UP = 1
_BRIDGE = 7  # PF_BRIDGE
_NODAD = 0x02
_MAIN, _STATIC, _UNIVERSE, _UNICAST = 254, 4, 0, 1
_FOREVER = 1 << 16

NAME_LIMIT = 15
"""Bytes of an interface's name."""


class Link:
    """An interface: its index, name, alias ("" without), index of the bridge it belongs to (0: none), and if it is
    up.
    """

    __slots__ = ("alias", "index", "kind", "mac", "master", "name", "up")

    def __init__(self, index: int, up: bool, attributes: dict[int, bytes]) -> None:
        self.index, self.up = index, up
        self.name = _text(attributes.get(3, b""))
        self.alias = _text(attributes.get(20, b""))
        self.master = int.from_bytes(attributes.get(10, b""), "little")
        self.mac = attributes.get(1, b"").hex(":")
        self.kind = _text(_attributes(attributes.get(18, b"")).get(1, b""))


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
            packed.append(_HEAD.pack(_HEAD.size + len(body), kind, _REQUEST | _ACK | flags, self._number, 0) + body)
        self._socket.send(b"".join(packed))
        problem = 0
        left = len(messages)
        while left:
            for kind, body in _split(self._socket.recv(_FOREVER)):
                if kind == _ERROR:
                    left -= 1
                    problem = problem or -int.from_bytes(body[:4], "little", signed=True)
        if problem:
            raise OSError(problem, os.strerror(problem))

    def link(self, name: str) -> Link | None:
        """The interface of a name, None when there is none."""
        self._number += 1
        body = _LINK.pack(0, 0, 0, 0, 0) + _attribute(3, name.encode() + b"\0")
        self._socket.send(_HEAD.pack(_HEAD.size + len(body), _GETLINK, _REQUEST, self._number, 0) + body)
        for kind, answer in _split(self._socket.recv(_FOREVER)):
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
            attributes = _attributes(body[_ROUTE.size :])
            if table == _MAIN and kind == _UNICAST and length and 1 in attributes:
                index = int.from_bytes(attributes.get(4, b""), "little")
                found.append((int.from_bytes(attributes[1], "big"), length, index))
        return found

    def addresses(self, index: int = 0) -> list[tuple[str, int]]:
        """Addresses and prefix lengths of an interface, or of all."""
        found = []
        for body in self._dump(_GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0)):
            family, length, _, _, at = _ADDRESS.unpack_from(body)
            attributes = _attributes(body[_ADDRESS.size :])
            data = attributes.get(2) or attributes.get(1)
            if data and family in (AF_INET, AF_INET6) and index in (0, at):
                found.append((inet_ntop(family, data), length))
        return found

    def _dump(self, kind: int, body: bytes) -> list[bytes]:
        self._number += 1
        self._socket.send(_HEAD.pack(_HEAD.size + len(body), kind, _REQUEST | _DUMP, self._number, 0) + body)
        found: list[bytes] = []
        while True:
            for answer, data in _split(self._socket.recv(_FOREVER)):
                if answer == _DONE:
                    return found
                if answer == _ERROR:
                    number = -int.from_bytes(data[:4], "little", signed=True)
                    raise OSError(number, os.strerror(number))
                found.append(data)


def new_bridge(name: str, mtu: int, mac: bytes) -> tuple[int, int, bytes]:
    """A bridge that is down. Its alias can only be set once it is there. Without ``mac`` it would change with its
    ports.
    """
    kind = _attribute(1, mac) + _attribute(18, _attribute(1, b"bridge"))
    body = _LINK.pack(0, 0, 0, 0, 0) + _attribute(3, name.encode() + b"\0") + _attribute(4, _u32(mtu)) + kind
    return _NEWLINK, _CREATE | _EXCL, body


OF_PROCESS, OF_DESCRIPTOR = 19, 28
"""Two ways to name a network namespace: by the pid of a process in it, or by a descriptor."""


def new_veth(
    name: str, mtu: int, bridge: int, peer: str, mac: bytes, namespace: tuple[int, int]
) -> tuple[tuple[int, int, bytes], ...]:
    """A pair: one end comes up in a bridge, without an address of its own; the other is ``peer``, with ``mac``, in
    ``namespace``: OF_PROCESS or OF_DESCRIPTOR, and the number.
    """
    other = _LINK.pack(0, 0, 0, 0, 0) + _attribute(3, peer.encode() + b"\0") + _attribute(1, mac)
    other += _attribute(4, _u32(mtu)) + _attribute(namespace[0], _u32(namespace[1]))
    about = _attribute(1, b"veth") + _attribute(2, _attribute(1, other))
    called = _attribute(3, name.encode() + b"\0")
    body = _LINK.pack(0, 0, 0, 0, 0) + called + _attribute(4, _u32(mtu))
    modes = _attribute(26, _attribute(AF_INET6, _attribute(8, b"\1")))
    return (
        (_NEWLINK, _CREATE | _EXCL, body + _attribute(10, _u32(bridge)) + _attribute(18, about)),
        (_NEWLINK, 0, _LINK.pack(0, 0, 0, 0, 0) + called + modes),
        (_NEWLINK, 0, _LINK.pack(0, 0, 0, _IFF_UP, _IFF_UP) + called),
    )


def set_alias(index: int, alias: str) -> tuple[int, int, bytes]:
    """A note on an interface."""
    return _NEWLINK, 0, _LINK.pack(0, 0, index, 0, 0) + _attribute(20, alias.encode())


def set_up(index: int) -> tuple[int, int, bytes]:
    """Bring an interface up."""
    return _NEWLINK, 0, _LINK.pack(0, 0, index, _IFF_UP, _IFF_UP)


def isolate(index: int) -> tuple[int, int, bytes]:
    """Let a port of a bridge speak to the bridge itself only, not to other ports of this kind."""
    return _SETLINK, 0, _LINK.pack(_BRIDGE, 0, index, 0, 0) + _attribute(12 | 0x8000, _attribute(33, b"\1"))


def reflect(index: int) -> tuple[int, int, bytes]:
    """Let a port of a bridge get back what it sent (hairpin mode)."""
    return _SETLINK, 0, _LINK.pack(_BRIDGE, 0, index, 0, 0) + _attribute(12 | 0x8000, _attribute(4, b"\1"))


def no_link_local(index: int) -> tuple[int, int, bytes]:
    """Keep an interface from giving itself an address of IPv6 when it comes up."""
    modes = _attribute(AF_INET6, _attribute(8, b"\1"))
    return _NEWLINK, 0, _LINK.pack(0, 0, index, 0, 0) + _attribute(26, modes)


def delete_link(name: str) -> tuple[int, int, bytes]:
    """Remove an interface by its name."""
    return _DELLINK, 0, _LINK.pack(0, 0, 0, 0, 0) + _attribute(3, name.encode() + b"\0")


def add_address(index: int, address: str, length: int) -> tuple[int, int, bytes]:
    """An address with its prefix; one of IPv6 counts at once, without asking around for doubles."""
    family, data = _packed(address)
    flags = _NODAD if family == AF_INET6 else 0
    body = _ADDRESS.pack(family, length, flags, 0, index) + _attribute(2, data) + _attribute(1, data)
    if family == AF_INET and length < 31:
        broadcast = int.from_bytes(data, "big") | (1 << (32 - length)) - 1
        body += _attribute(4, broadcast.to_bytes(4, "big"))
    return _NEWADDR, _CREATE | _REPLACE, body


def add_default_route(index: int, gateway: str) -> tuple[int, int, bytes]:
    """The way to everywhere else."""
    return _NEWROUTE, _CREATE | _REPLACE, _default_route(index, gateway)


def delete_default_route(index: int, gateway: str) -> tuple[int, int, bytes]:
    """Forget that way."""
    return _DELROUTE, 0, _default_route(index, gateway)


def _default_route(index: int, gateway: str) -> bytes:
    family, data = _packed(gateway)
    head = _ROUTE.pack(family, 0, 0, 0, _MAIN, _STATIC, _UNIVERSE, _UNICAST, 0)
    return head + _attribute(5, data) + _attribute(4, _u32(index))


def _packed(address: str) -> tuple[int, bytes]:
    family = int(AF_INET6 if ":" in address else AF_INET)
    return family, inet_pton(family, address)


def _attribute(kind: int, data: bytes) -> bytes:
    return _ATTRIBUTE.pack(4 + len(data), kind) + data + bytes(-len(data) & 3)


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "little")


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "surrogateescape")


def _link(body: bytes) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(body)
    return Link(index, bool(flags & _IFF_UP), _attributes(body[_LINK.size :]))


def _attributes(data: bytes) -> dict[int, bytes]:
    """Kind -> value, the last of a kind."""
    found, at = {}, 0
    while at + 4 <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if size < 4:
            break
        found[kind & 0x3FFF] = data[at + 4 : at + size]
        at += (size + 3) & ~3
    return found


def _split(data: bytes) -> list[tuple[int, bytes]]:
    """The messages of a datagram: kind and body."""
    found, at = [], 0
    while at + _HEAD.size <= len(data):
        size, kind, _, _, _ = _HEAD.unpack_from(data, at)
        if size < _HEAD.size:
            break
        found.append((kind, data[at + _HEAD.size : at + size]))
        at += (size + 3) & ~3
    return found

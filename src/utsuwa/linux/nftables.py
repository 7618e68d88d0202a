"""nf_tables by its own messages (linux/netfilter/nf_tables.h): is there a table, and small tables of rules that rewrite
headers. The rules of the host, which are many more, are told by nft(8).
"""

from __future__ import annotations

import os
from _socket import AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW, socket

from utsuwa.linux.netlink import ACK, APPEND, CREATE, NEST, attribute, await_answers, message

INET, IPV4 = 1, 2
"""Families of tables: for both versions of the Internet protocol, and for version 4."""
OUTPUT, INPUT = 3, 1
"""Hooks: packets of this namespace's own processes, after their way is chosen, and packets for them."""
NETWORK, TRANSPORT = 1, 2
"""Headers that an expression is about."""

_NETFILTER = 12
_SUBSYSTEM = 10 << 8
_NEWTABLE, _GETTABLE, _DELTABLE = _SUBSYSTEM, _SUBSYSTEM | 1, _SUBSYSTEM | 2
_NEWCHAIN, _NEWRULE = _SUBSYSTEM | 3, _SUBSYSTEM | 6
_BEGIN, _END = 16, 17
_RAW = -300
"""The priority before connections are tracked."""
_PROTOCOL = 16
_SIZE = 1 << 14


def has_table(name: str, family: int = INET) -> bool:
    """Ask the kernel. Raises OSError where there is no nf_tables."""
    connection = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, _NETFILTER)
    try:
        connection.send(_message(_GETTABLE, 0, family, _text(1, name)))
        answer = connection.recv(_SIZE)
    finally:
        connection.close()
    return int.from_bytes(answer[4:6], "little") == _NEWTABLE


def carry_out(descriptor: int, messages: list[bytes]) -> None:
    """Send messages as one transaction through somebody's socket, which stays his. Raises OSError for the first that
    the kernel refuses; then nothing has changed.
    """
    connection = socket(AF_NETLINK, SOCK_RAW, _NETFILTER, os.dup(descriptor))
    try:
        connection.send(b"".join((_bracket(_BEGIN), *messages, _bracket(_END))))
        await_answers(connection, len(messages))
    finally:
        connection.close()


def new_table(name: str, family: int) -> bytes:
    """A table; it does not matter if it is there."""
    return _message(_NEWTABLE, CREATE | ACK, family, _text(1, name))


def delete_table(name: str, family: int) -> bytes:
    """Remove a table with all that is in it."""
    return _message(_DELTABLE, ACK, family, _text(1, name))


def new_chain(table: str, family: int, name: str, hook: int) -> bytes:
    """A chain of a hook that comes before connections are tracked."""
    place = attribute(4 | NEST, _number(1, hook) + _number(2, _RAW))
    return _message(_NEWCHAIN, CREATE | ACK, family, _text(1, table) + _text(3, name) + _text(7, "filter") + place)


def new_rule(table: str, family: int, chain: str, expressions: list[bytes]) -> bytes:
    """A rule behind those that are there."""
    body = _text(1, table) + _text(2, chain) + attribute(4 | NEST, b"".join(expressions))
    return _message(_NEWRULE, CREATE | APPEND | ACK, family, body)


def equals(header: int, offset: int, data: bytes) -> bytes:
    """Go on with packets that have these bytes there."""
    asked = _number(2, header) + _number(3, offset) + _number(4, len(data))
    return _expression("payload", _number(1, 1) + asked) + _compare(data)


def is_protocol(number: int) -> bytes:
    """Go on with packets of this transport protocol."""
    return _expression("meta", _number(2, _PROTOCOL) + _number(1, 1)) + _compare(bytes((number,)))


def rewrite(header: int, offset: int, data: bytes, checksum: int, is_address: bool) -> bytes:
    """Put bytes there, and correct the header's ``checksum`` (its offset); an address counts in that of the transport
    header, too.
    """
    value = _expression("immediate", _number(1, 1) + attribute(2 | NEST, attribute(1, data)))
    place = _number(5, 1) + _number(2, header) + _number(3, offset) + _number(4, len(data))
    sums = _number(6, 1) + _number(7, checksum) + _number(8, int(is_address))
    return value + _expression("payload", place + sums)


def _compare(data: bytes) -> bytes:
    return _expression("cmp", _number(1, 1) + _number(2, 0) + attribute(3 | NEST, attribute(1, data)))


def _expression(name: str, body: bytes) -> bytes:
    return attribute(1 | NEST, _text(1, name) + attribute(2 | NEST, body))


def _message(kind: int, flags: int, family: int, body: bytes) -> bytes:
    return message(kind, flags, 1, bytes((family, 0, 0, 0)) + body)


def _bracket(kind: int) -> bytes:
    """Where a transaction begins and ends; it names the subsystem, with its bytes in the order of the network."""
    return message(kind, 0, 1, b"\0\0" + (_SUBSYSTEM >> 8).to_bytes(2, "big"))


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, value.to_bytes(4, "big", signed=value < 0))


def _text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")

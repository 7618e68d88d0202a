"""What all conversations by netlink(7) have in common: attributes, messages in a datagram, answers."""

from __future__ import annotations

import os
from _socket import MSG_DONTWAIT
from _struct import Struct
from errno import EPROTO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket

REQUEST, ACK, DUMP, REPLACE, EXCLUSIVE, CREATE, APPEND = 0x1, 0x4, 0x300, 0x100, 0x200, 0x400, 0x800
"""Flags of messages (linux/netlink.h)."""
ERROR, DONE = 2, 3
"""Kinds of messages that the kernel ends an answer with."""
NEST = 0x8000
"""Part of the kind of an attribute that holds others."""
ROOM = 1 << 16

_HEAD = Struct("=IHHII")
_ATTRIBUTE = Struct("=HH")


def message(kind: int, flags: int, number: int, body: bytes) -> bytes:
    """One message to the kernel; its ``number`` comes back in the answer."""
    return _HEAD.pack(_HEAD.size + len(body), kind, REQUEST | flags, number, 0) + body


def split(data: bytes) -> list[tuple[int, bytes]]:
    """The messages of a datagram: kind and body."""
    found, at = [], 0
    while at + _HEAD.size <= len(data):
        size, kind, _, _, _ = _HEAD.unpack_from(data, at)
        if size < _HEAD.size:
            break
        found.append((kind, data[at + _HEAD.size : at + size]))
        at += (size + 3) & ~3
    return found


def await_answers(connection: socket, count: int) -> None:
    """Hear what became of so many messages with ACK. Raises OSError for the first that failed.

    All answers are there when send(2) is back; there are less where a transaction was refused as a whole.
    """
    problem = 0
    while count > 0:
        try:
            data = connection.recv(ROOM, MSG_DONTWAIT)
        except BlockingIOError:
            problem = problem or EPROTO
            break
        for kind, body in split(data):
            if kind == ERROR:
                count -= 1
                problem = problem or number(body)
    if problem:
        raise OSError(problem, os.strerror(problem))


def number(body: bytes) -> int:
    """The errno of a message of the kind ERROR, 0 for success."""
    return -int.from_bytes(body[:4], "little", signed=True)


def attribute(kind: int, data: bytes) -> bytes:
    """One attribute, filled up to a multiple of 4 bytes."""
    return _ATTRIBUTE.pack(4 + len(data), kind) + data + bytes(-len(data) & 3)


def attributes(data: bytes) -> dict[int, bytes]:
    """Kind -> value, the last of a kind."""
    found, at = {}, 0
    while at + 4 <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if size < 4:
            break
        found[kind & 0x3FFF] = data[at + 4 : at + size]
        at += (size + 3) & ~3
    return found

"""Messages of the domain name system, as far as a resolver for containers needs them (RFC 1035, RFC 6891)."""

from __future__ import annotations

from struct import Struct, error

PORT = 53
A, PTR, AAAA, ANY, OPT = 1, 12, 28, 255, 41
INTERNET = 1
NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME, NOT_IMPLEMENTED, REFUSED = 0, 2, 3, 4, 5
LIFETIME = 600
"""Seconds that an answer may be kept, as Docker has it."""

_HEAD = Struct(">HHHHHH")
_TAIL = Struct(">HH")
_RECORD = Struct(">HHIH")
_RESPONSE, _OPCODE, _TRUNCATED, _DESIRED, _AVAILABLE = 0x8000, 0x7800, 0x0200, 0x0100, 0x0080
_PLAIN_SIZE = 512


class Question:
    """One question: its ``number``, the ``name`` in lower case without the last dot, ``kind`` and ``scope`` (class).

    ``room``: how long an answer may be.
    """

    __slots__ = ("_asked", "flags", "kind", "name", "number", "room", "scope")

    def __init__(self, data: bytes) -> None:
        """Raises ValueError for what is no question."""
        try:
            self.number, self.flags, count, _, _, further = _HEAD.unpack_from(data)
            if self.flags & _RESPONSE or count != 1:
                raise ValueError("no question")
            labels, at = [], _HEAD.size
            while data[at]:
                length = data[at]
                if length > 63:
                    raise ValueError("a pointer in a question")
                labels.append(data[at + 1 : at + 1 + length])
                at += 1 + length
            self.kind, self.scope = _TAIL.unpack_from(data, at + 1)
        except (error, IndexError) as problem:
            raise ValueError("cut short") from problem
        end = at + 1 + _TAIL.size
        self.name = b".".join(labels).decode("ascii", "replace").lower()
        self._asked = data[_HEAD.size : end]
        self.room = _PLAIN_SIZE
        if further and data[end : end + 3] == b"\0\0" + bytes((OPT,)) and len(data) >= end + 5:
            self.room = max(_PLAIN_SIZE, int.from_bytes(data[end + 3 : end + 5], "big"))

    def is_answered_by(self, data: bytes) -> bool:
        """This is a response, and it repeats our question (its letters may be of another case)."""
        asked = data[_HEAD.size : _HEAD.size + len(self._asked)]
        responds = len(data) >= _HEAD.size and bool(data[2] & _RESPONSE >> 8)
        return responds and (asked.lower() == self._asked.lower() or data[4:6] == b"\0\0")

    @property
    def is_query(self) -> bool:
        """It asks for a name, and nothing more exotic."""
        return not self.flags & _OPCODE

    def answer(self, code: int, found: list[tuple[int, bytes]], room: int) -> bytes:
        """The reply: kinds and data of records of the asked name, or none, where they need more than ``room``."""
        records = [b"\xc0\x0c" + _RECORD.pack(kind, INTERNET, LIFETIME, len(data)) + data for kind, data in found]
        flags = _RESPONSE | self.flags & (_OPCODE | _DESIRED) | _AVAILABLE | code
        if _HEAD.size + len(self._asked) + sum(map(len, records)) > room:
            records, flags = [], flags | _TRUNCATED
        return _HEAD.pack(self.number, flags, 1, len(records), 0, 0) + self._asked + b"".join(records)


def wire_name(name: str) -> bytes:
    """A name as it is sent; empty where it can't be."""
    labels = [label.encode("ascii", "replace") for label in name.split(".") if label]
    if any(len(label) > 63 for label in labels):
        return b""
    return b"".join([bytes((len(label),)) + label for label in labels]) + b"\0"


def reversed_address(name: str) -> str:
    """The address that a name below in-addr.arpa or ip6.arpa stands for, "" for other names."""
    from utsuwa.errors import InvalidArgument
    from utsuwa.network.addresses import canonical

    labels = name.split(".")
    if labels[-2:] == ["in-addr", "arpa"] and len(labels) == 6:
        address = ".".join(reversed(labels[:4]))
    elif labels[-2:] == ["ip6", "arpa"] and len(labels) == 34:
        digits = "".join(reversed(labels[:32]))
        address = ":".join(digits[at : at + 4] for at in range(0, 32, 4))
    else:
        return ""
    try:
        return canonical(address)
    except InvalidArgument:
        return ""

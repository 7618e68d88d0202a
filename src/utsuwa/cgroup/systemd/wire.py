"""D-Bus's way to write values and messages (D-Bus Specification, "Type System", "Message Protocol").

Python values by type code: ``y n q i u x t`` int, ``b`` bool, ``d`` float, ``s o g`` str, ``a…`` list (``ay`` bytes),
``(…)`` and ``{…}`` tuple, ``v`` a pair of signature and value.
"""

from __future__ import annotations

from struct import Struct, error

from utsuwa import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

CALL, REPLY, ERROR, SIGNAL = 1, 2, 3, 4
"""Kinds of messages."""

NO_REPLY_EXPECTED = 1
FIXED_HEADER = 16
"""Bytes from which the size of a message is known."""

_MAX_MESSAGE = 1 << 27
_MAX_DEPTH = 64
_FIELDS = {"path": (1, "o"), "interface": (2, "s"), "member": (3, "s"), "destination": (6, "s"), "signature": (8, "g")}
_NAMES = {
    1: "path",
    2: "interface",
    3: "member",
    4: "error",
    5: "reply_to",
    8: "signature",
}
_CODES = {"y": "B", "b": "I", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d"}
_LITTLE = {code: Struct("<" + letter) for code, letter in _CODES.items()}
_BIG = {code: Struct(">" + letter) for code, letter in _CODES.items()}
_ALIGNMENTS = {"s": 4, "o": 4, "a": 4, "(": 8, "{": 8, "g": 1, "v": 1}


class Message:
    """A message that came in; header fields that it lacks are "" or 0."""

    __slots__ = (
        "body",
        "error",
        "interface",
        "kind",
        "member",
        "path",
        "reply_to",
        "serial",
        "signature",
    )

    def __init__(self, kind: int, serial: int) -> None:
        self.kind = kind
        self.serial = serial
        self.reply_to = 0
        self.path = self.interface = self.member = self.error = self.signature = ""
        self.body: tuple[Any, ...] = ()


def types(signature: str) -> Iterator[str]:
    """The complete types of a signature: ``sa(sv)u`` is s, a(sv), u. InvalidArgument when it is not one."""
    start = 0
    while start < len(signature):
        end = _end(signature, start, 0)
        yield signature[start:end]
        start = end


def _end(signature: str, start: int, depth: int) -> int:
    code = signature[start : start + 1]
    if depth < _MAX_DEPTH:
        if code == "a":
            return _end(signature, start + 1, depth + 1)
        if code in ("(", "{"):
            end = start + 1
            while signature[end : end + 1] not in (")", "}"):
                end = _end(signature, end, depth + 1)
            return end + 1
        if code in _LITTLE or (code and code in "sogv"):
            return start + 1
    raise errors.InvalidArgument(f'D-Bus signature "{signature}": broken at character {start + 1}')


# --- out ------------------------------------------------------------------------------------------------------------


def pack(signature: str, values: Sequence[Any]) -> bytes:
    """``values``, one for each complete type. InvalidArgument when they don't fit."""
    out = bytearray()
    try:
        for kind, value in zip(types(signature), values, strict=True):
            _put(out, kind, value)
    except (error, TypeError, ValueError, AttributeError, IndexError) as problem:
        raise errors.InvalidArgument(f"D-Bus: a value does not fit the type {signature}: {problem}") from problem
    return bytes(out)


def _put(out: bytearray, kind: str, value: Any) -> None:
    code = kind[0]
    if code in _LITTLE:
        layout = _LITTLE[code]
        _align(out, layout.size)
        out += layout.pack(value)
        return
    _align(out, _ALIGNMENTS[code])
    if code in "so":
        _put_text(out, value, _LITTLE["u"])
    elif code == "g":
        _put_text(out, value, _LITTLE["y"])
    elif code == "v":
        signature, content = value
        _put_text(out, signature, _LITTLE["y"])
        _put(out, signature, content)
    elif code == "a":
        _put_array(out, kind[1:], value)
    else:
        for part, content in zip(types(kind[1:-1]), value, strict=True):
            _put(out, part, content)


def _put_text(out: bytearray, text: str, length: Struct) -> None:
    data = text.encode()
    if b"\0" in data:
        raise ValueError("a NUL in a text")
    out += length.pack(len(data)) + data + b"\0"


def _put_array(out: bytearray, element: str, values: Any) -> None:
    at = len(out)
    out += bytes(4)
    _align(out, _alignment(element))
    start = len(out)
    if element == "y":
        out += bytes(values)
    else:
        for value in values:
            _put(out, element, value)
    _LITTLE["u"].pack_into(out, at, len(out) - start)


def _align(out: bytearray, size: int) -> None:
    out += bytes(-len(out) % size)


def _alignment(kind: str) -> int:
    code = kind[0]
    return _LITTLE[code].size if code in _LITTLE else _ALIGNMENTS[code]


def call(serial: int, flags: int, signature: str, values: Sequence[Any], **fields: str) -> bytes:
    """A method call; ``fields``: destination, path, interface, member. Empty ones are left out."""
    body = pack(signature, values)
    fields["signature"] = signature
    header = [(number, (kind, fields[name])) for name, (number, kind) in _FIELDS.items() if fields.get(name)]
    head = bytearray(pack("yyyyuua(yv)", (ord("l"), CALL, flags, 1, len(body), serial, header)))
    _align(head, 8)
    return bytes(head) + body


# --- in -------------------------------------------------------------------------------------------------------------


def size(head: bytes) -> int:
    """The size of the whole message that begins with these FIXED_HEADER bytes. Unavailable when they are no header."""
    if head[:1] not in (b"l", b"B") or head[3] != 1:
        raise errors.Unavailable("D-Bus: what came is no message")
    layout = _order(head)["u"]
    (body,), (fields,) = layout.unpack_from(head, 4), layout.unpack_from(head, 12)
    total: int = FIXED_HEADER + fields + -fields % 8 + body
    if total > _MAX_MESSAGE:
        raise errors.Unavailable(f"D-Bus: a message of {total} bytes")
    return total


def parse(data: bytes) -> Message:
    """The message in ``data``, which is as long as size() said. Unavailable when it is broken."""
    reader = _Reader(data, _order(data))
    try:
        _, kind, _, _, length, serial, fields = [reader.take(part) for part in ("y", "y", "y", "y", "u", "u", "a(yv)")]
        message = Message(kind, serial)
        for number, (_, value) in fields:
            if number in _NAMES:
                setattr(message, _NAMES[number], value)
        reader.at = len(data) - length
        message.body = tuple(reader.take(part) for part in types(message.signature))
    except (error, IndexError, ValueError, TypeError, errors.InvalidArgument) as problem:
        raise errors.Unavailable(f"D-Bus: a broken message came: {problem}") from problem
    return message


def _order(head: bytes) -> dict[str, Struct]:
    return _LITTLE if head[:1] == b"l" else _BIG


class _Reader:
    """Values from a message, one after the other."""

    def __init__(self, data: bytes, layouts: dict[str, Struct]) -> None:
        self._data = data
        self._layouts = layouts
        self._depth = 0
        self.at = 0

    def take(self, kind: str) -> Any:
        code = kind[0]
        if code in self._layouts:
            return self._number(code)
        self._align(_ALIGNMENTS[code])
        if code in "so":
            return self._text(self._number("u"))
        if code == "g":
            return self._text(self._number("y"))
        if self._depth == _MAX_DEPTH:
            raise ValueError("values too deep in each other")
        self._depth += 1
        value = self._container(kind)
        self._depth -= 1
        return value

    def _container(self, kind: str) -> Any:
        if kind == "v":
            (signature,) = types(self._text(self._number("y")))
            return signature, self.take(signature)
        if kind[0] == "a":
            return self._array(kind[1:])
        return tuple([self.take(part) for part in types(kind[1:-1])])

    def _number(self, code: str) -> Any:
        layout = self._layouts[code]
        self._align(layout.size)
        (value,) = layout.unpack_from(self._data, self.at)
        self.at += layout.size
        return bool(value) if code == "b" else value

    def _text(self, length: int) -> str:
        end = self.at + length
        if end >= len(self._data):
            raise ValueError("a text ends behind the message")
        text = self._data[self.at : end].decode()
        self.at = end + 1
        return text

    def _array(self, element: str) -> Any:
        length = self._number("u")
        self._align(_alignment(element))
        end = self.at + length
        if end > len(self._data):
            raise ValueError("an array ends behind the message")
        if element == "y":
            self.at = end
            return self._data[end - length : end]
        values = []
        while self.at < end:
            values.append(self.take(element))
        return values

    def _align(self, boundary: int) -> None:
        self.at += -self.at % boundary

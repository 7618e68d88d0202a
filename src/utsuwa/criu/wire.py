"""Protocol buffers, as far as CRIU's RPC uses them: varints and bytes (protobuf.dev/programming-guides/encoding)."""

from __future__ import annotations

from utsuwa.errors import Unavailable

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_UINT64 = (1 << 64) - 1

Fields = dict[int, "list[int | bytes]"]


def field(number: int, value: int | str | bytes) -> bytes:
    """One field; an int (bool, enumeration) travels as varint, a negative one in two's complement of 64 bits."""
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value & _UINT64)
    data = value.encode(errors="surrogateescape") if isinstance(value, str) else value
    return _varint(number << 3 | _BYTES) + _varint(len(data)) + data


def fields(message: bytes) -> Fields:
    """Every field of a message by number, in order. Raises Unavailable for bytes that are no message."""
    found: Fields = {}
    at = 0
    try:
        while at < len(message):
            key, at = _read_varint(message, at)
            value, at = _read_value(message, at, key & 7)
            found.setdefault(key >> 3, []).append(value)
    except IndexError:
        raise Unavailable("criu sent a message that ends too early") from None
    return found


def number(found: Fields, which: int, default: int = 0) -> int:
    """The last value of a number field, as a signed one of 32 bits where it is negative."""
    value = found.get(which, [default])[-1]
    if not isinstance(value, int):
        raise Unavailable(f"criu sent bytes where a number was expected (field {which})")
    return value - (1 << 64) if value >> 63 else value


def data(found: Fields, which: int) -> bytes:
    """The last value of a bytes, text or message field; empty when it is absent."""
    value = found.get(which, [b""])[-1]
    if not isinstance(value, bytes):
        raise Unavailable(f"criu sent a number where bytes were expected (field {which})")
    return value


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & _UINT64, at
        shift += 7


def _read_value(message: bytes, at: int, kind: int) -> tuple[int | bytes, int]:
    if kind == _VARINT:
        return _read_varint(message, at)
    if kind == _BYTES:
        size, at = _read_varint(message, at)
    elif kind in (_FIXED64, _FIXED32):
        size = 8 if kind == _FIXED64 else 4
    else:
        raise Unavailable(f"criu sent a field of the unknown kind {kind}")
    if at + size > len(message):
        raise IndexError
    return message[at : at + size], at + size

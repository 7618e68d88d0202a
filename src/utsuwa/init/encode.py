"""A plan as the bytes that utsuwa-init reads: little endian, everything 8-aligned.

Header: magic, number of operations, descriptor of the channel, descriptors to keep (count, numbers). Then for each
operation its code and the size of its fields (two 32-bit numbers), and the fields by the letters of ``init/c/ops.def``:

    u  64-bit integer       s, b  length, bytes, a NUL, padding        l  count, strings
    f  descriptor or -1     n     count, integers
"""

from __future__ import annotations

from _struct import pack

from utsuwa.errors import Internal, InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from utsuwa.plan.ops import Op

_MAGIC = 0x314E414C50555455  # "UTUPLAN1"
_ALL = 0xFFFF_FFFF_FFFF_FFFF
_PADDING = tuple([bytes(8 - size % 8) for size in range(8)])  # at least the one NUL


def encode(ops: Sequence[Op], slots: Mapping[str, int], channel: int, keep: Sequence[int] = ()) -> bytes:
    """The wire form of ``ops``.

    ``slots`` gives the descriptor of every slot that an operation names, ``channel`` the one that reports go to, and
    ``keep`` those that stay open in the container. Raises InvalidArgument for a string with a NUL inside, Internal for
    a slot that has no descriptor.
    """
    parts = [pack("<4Q", _MAGIC, len(ops), channel, len(keep)), _numbers(keep)]
    for op in ops:
        types = op.types
        values: tuple[Any, ...] = op.values()
        if types.strip("u"):
            fields = b"".join([_FIELD[letter](value, slots) for letter, value in zip(types, values)])  # noqa: B905
        else:
            fields = _numbers(values)
        parts.append(pack("<II", op.code, len(fields)))
        parts.append(fields)
    return b"".join(parts)


def _number(value: int, _slots: object = None) -> bytes:
    return (value & _ALL).to_bytes(8, "little")


def _numbers(values: Iterable[int]) -> bytes:
    return b"".join([(value & _ALL).to_bytes(8, "little") for value in values])


def _counted(values: Sequence[int], _slots: object) -> bytes:
    return len(values).to_bytes(8, "little") + _numbers(values)


def texts(texts: Sequence[str], _slots: object = None) -> bytes:
    """A list of strings, as it is among an operation's fields."""
    return len(texts).to_bytes(8, "little") + b"".join([_text(text) for text in texts])


def _text(text: str, _slots: object = None) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    if b"\0" in data:
        raise InvalidArgument(f"a NUL character in {text!r}: remove it")
    size = len(data)
    return size.to_bytes(8, "little") + data + _PADDING[size & 7]


def _bytes(data: bytes, _slots: object = None) -> bytes:
    size = len(data)
    return size.to_bytes(8, "little") + data + _PADDING[size & 7]


def _descriptor(slot: str, slots: Mapping[str, int]) -> bytes:
    if not slot:
        return _number(-1)
    try:
        return _number(slots[slot])
    except KeyError:
        raise Internal(f"the plan names the descriptor {slot!r}, and nobody supplied it") from None


_FIELD: dict[str, Callable[[Any, Mapping[str, int]], bytes]] = {
    "u": _number,
    "s": _text,
    "l": texts,
    "n": _counted,
    "b": _bytes,
    "f": _descriptor,
}

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
    from collections.abc import Iterable, Mapping, Sequence
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
        fields = _fields(op, slots)
        parts.append(pack("<II", op.code, len(fields)))
        parts.append(fields)
    return b"".join(parts)


def _fields(op: Op, slots: Mapping[str, int]) -> bytes:
    parts = []
    values: tuple[Any, ...] = op.values()
    for letter, value in zip(op.types, values):  # noqa: B905 - the same number by construction
        if letter == "u":
            parts.append((int(value) & _ALL).to_bytes(8, "little"))
        elif letter == "s":
            parts.append(_text(value))
        elif letter == "l":
            parts.append(len(value).to_bytes(8, "little"))
            parts.extend([_text(item) for item in value])
        elif letter == "n":
            parts.append(len(value).to_bytes(8, "little") + _numbers(value))
        elif letter == "b":
            parts.append(_bytes(value))
        else:
            parts.append((_descriptor(value, slots) & _ALL).to_bytes(8, "little"))
    return b"".join(parts)


def _numbers(values: Iterable[int]) -> bytes:
    return b"".join([(int(value) & _ALL).to_bytes(8, "little") for value in values])


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    if b"\0" in data:
        raise InvalidArgument(f"a NUL character in {text!r}: remove it")
    return _bytes(data)


def _bytes(data: bytes) -> bytes:
    size = len(data)
    return size.to_bytes(8, "little") + data + _PADDING[size & 7]


def _descriptor(slot: str, slots: Mapping[str, int]) -> int:
    if not slot:
        return -1
    try:
        return slots[slot]
    except KeyError:
        raise Internal(f"the plan names the descriptor {slot!r}, and nobody supplied it") from None

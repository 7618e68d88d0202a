"""Durations as Go programs write them."""

from __future__ import annotations

from utsuwa.cli.arguments import quoted
from utsuwa.errors import InvalidArgument

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def seconds(text: str) -> float:
    """The seconds in ``100ms``, ``5s`` or ``1m30s``. Raises InvalidArgument unless they are more than none."""
    total, number, index = 0.0, "", 0
    while index < len(text):
        if text[index] in "0123456789.":
            number += text[index]
            index += 1
            continue
        unit = text[index : index + 2] if text[index : index + 2] in _UNITS else text[index]
        if unit not in _UNITS or not number.strip(".") or number.count(".") > 1 or len(number) > 18:
            break
        total += float(number) * _UNITS[unit]
        number, index = "", index + len(unit)
    if index < len(text) or number or total <= 0:
        raise InvalidArgument(f"{quoted(text)} is no duration above zero: write it as 5s or 100ms")
    return total

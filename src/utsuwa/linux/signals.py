"""Signals by name and number (signal(7)), as people and engines write them: TERM, sigterm, 15, RTMIN+3."""

from __future__ import annotations

import _signal

from utsuwa.errors import InvalidArgument

SIGNALS = {name: int(getattr(_signal, name)) for name in dir(_signal) if name[:3] == "SIG" and name[3:4].isalpha()}
"""SIGTERM -> 15; SIG_BLOCK and its like are none."""


def number(text: str) -> int:
    """The number of a signal given by number, or by name with or without SIG in any case; 0 only asks whether it runs.

    Raises InvalidArgument for what is no signal.
    """
    if text.isascii() and text.isdigit() and int(text) <= _signal.SIGRTMAX:
        return int(text)
    name = text.upper()
    name = name if name.startswith("SIG") else "SIG" + name
    base, sign, offset = name.partition("+" if "+" in name else "-")
    found = SIGNALS.get(base, -1)
    if sign and base in ("SIGRTMIN", "SIGRTMAX") and offset.isascii() and offset.isdigit():
        found += int(offset) if sign == "+" else -int(offset)
        found = found if _signal.SIGRTMIN <= found <= _signal.SIGRTMAX else -1
    elif sign:
        found = -1
    if found < 0:
        raise InvalidArgument(f'signal "{text}" does not exist, use a name like TERM or a number')
    return found

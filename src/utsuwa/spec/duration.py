"""Durations as Go programs write and read them: ``1m30s``, ``500ms``."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "h": 3_600_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
}


def nanoseconds(text: str) -> int:
    """The nanoseconds in ``1m30s``. Raises InvalidArgument."""
    total, number, rest = 0.0, "", text
    while rest:
        unit = next((unit for unit in _UNITS if rest.startswith(unit)), "")
        if unit and number.strip(".") and number.count(".") < 2:
            total += float(number) * _UNITS[unit]
            number, rest = "", rest[len(unit) :]
        elif rest[0] in "0123456789." and len(number) < 18:
            number, rest = number + rest[0], rest[1:]
        else:
            break
    if rest or (number and number != "0") or not text:
        raise InvalidArgument(f'invalid duration "{text[:40]}", as in 1m30s')
    return int(total)


def text(duration: int) -> str:
    """So many nanoseconds as Go prints them: ``1m30s``, ``1.5s``, ``100ms``."""
    if duration < 1_000_000_000:
        for unit in ("ms", "µs"):
            if duration >= _UNITS[unit]:
                return f"{duration / _UNITS[unit]:.6f}".rstrip("0").rstrip(".") + unit
        return f"{duration}ns" if duration else "0s"
    minutes, rest = divmod(duration, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest / _UNITS['s']:.9f}".rstrip("0").rstrip(".") + "s"
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + seconds

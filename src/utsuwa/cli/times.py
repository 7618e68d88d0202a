"""Times as people read them: "2 hours ago", "Up 3 seconds" (the words of Docker's go-units)."""

from __future__ import annotations

import time

from utsuwa.errors import InvalidArgument
from utsuwa.monitor.records import moment as parse

__all__ = ["ago", "duration", "local", "moment", "parse"]

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def duration(seconds: float) -> str:
    """About how long: "Less than a second", "5 minutes", "2 weeks"."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    minutes = whole // 60
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    for limit, unit, name in ((24 * 14, 24, "days"), (24 * 60, 24 * 7, "weeks"), (24 * 365 * 2, 24 * 30, "months")):
        if hours < limit:
            return f"{hours // unit} {name}"
    return f"{hours // (24 * 365)} years"


def ago(text: str) -> str:
    """How long ago an RFC 3339 time was."""
    return f"{duration(time.time() - parse(text))} ago"


def local(text: str) -> str:
    """An RFC 3339 time as Go prints times: ``2026-01-02 15:04:05 +0000 UTC``."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(parse(text)))


def moment(text: str) -> float | None:
    """Seconds since 1970 of ``--since`` and ``--until``, None for "": ``2024-01-02T03:04:05Z`` or less of it (in the
    local zone when it names none), ``1704164645.5``, or ``1h30m`` ago. Raises InvalidArgument.
    """
    if not text:
        return None
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return float(text)
    try:
        if text.endswith("Z") and len(text) > 18:
            return parse(text)
        if "-" in text[1:]:
            from datetime import datetime

            return datetime.fromisoformat(text).timestamp()
        return time.time() - _seconds(text)
    except (ValueError, IndexError, OverflowError):
        raise InvalidArgument(f'failed to parse value as time or duration: "{text}"') from None


def _seconds(text: str) -> float:
    """Of a duration as Go has it: ``-1.5h``, ``300ms``. Raises ValueError."""
    sign, rest = (-1, text[1:]) if text[0] == "-" else (1, text)
    seconds = 0.0
    if not rest:
        raise ValueError(text)
    while rest:
        unit = rest.lstrip("0123456789.")
        number = rest[: len(rest) - len(unit)]
        name = unit[: len(unit) - len(unit.lstrip("hmsunµ"))]
        if name not in _UNITS:
            raise ValueError(text)
        seconds += float(number) * _UNITS[name]
        rest = unit[len(name) :]
    return sign * seconds

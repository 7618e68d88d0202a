"""Times as people read them: "2 hours ago", "Up 3 seconds" (the words of Docker's go-units)."""

from __future__ import annotations

import time

from utsuwa.monitor.records import moment as parse

__all__ = ["ago", "duration", "local", "parse"]


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

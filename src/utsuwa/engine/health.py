"""Which healthcheck a container has: what its image and the user say together."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument
from utsuwa.monitor.records import HealthCheck
from utsuwa.spec.healthcheck import Healthcheck

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.spec.image import Settings

_SECOND = 1_000_000_000
_INTERVAL, _TIMEOUT, _START_INTERVAL, _RETRIES = 30 * _SECOND, 30 * _SECOND, 5 * _SECOND, 3
_SHORTEST = 1_000_000
"""Nanoseconds: no time may be shorter, but for 0."""


def merged(image: Healthcheck | None, asked: Healthcheck | None) -> Healthcheck | None:
    """What is asked for field by field, and the image's where nothing is. Raises InvalidArgument."""
    if asked is None or image is None:
        found = asked or image
    else:
        names = ("Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries")
        found = Healthcheck(**{name: getattr(asked, name) or getattr(image, name) for name in names})
    if found is not None:
        _check(found)
    return found


def resolved(check: Healthcheck | None, settings: Settings) -> HealthCheck | None:
    """The check as a monitor is told it; None without one. Raises InvalidArgument for a test of no known kind."""
    if check is None or not check.Test or check.Test[0] == "NONE":
        return None
    kind, *words = check.Test
    if kind == "CMD-SHELL":
        words = [*(settings.Shell or ("/bin/sh", "-c")), *words[:1]]
    elif kind != "CMD":
        raise InvalidArgument(f"Unknown healthcheck type '{kind}' (expected 'CMD')")
    if not words:
        raise InvalidArgument("healthcheck: there is no command to run")
    return HealthCheck(
        command=tuple(words),
        interval=check.Interval or _INTERVAL,
        timeout=check.Timeout or _TIMEOUT,
        retries=check.Retries or _RETRIES,
        startPeriod=check.StartPeriod or 0,
        startInterval=check.StartInterval or _START_INTERVAL,
    )


def _check(check: Healthcheck) -> None:
    for name in ("Interval", "Timeout", "StartPeriod", "StartInterval"):
        value = getattr(check, name)
        if value and value < _SHORTEST:
            raise InvalidArgument(f"{name} in Healthcheck cannot be less than 1ms")
    if check.Retries is not None and check.Retries < 0:
        raise InvalidArgument("Retries in Healthcheck cannot be negative")

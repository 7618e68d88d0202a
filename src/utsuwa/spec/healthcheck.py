"""How to find out whether a container does its work, as images and users say it."""

from __future__ import annotations

from utsuwa.spec.record import Record


class Healthcheck(Record):
    """Docker's HEALTHCHECK; times in nanoseconds."""

    Test: tuple[str, ...] | None = None
    Interval: int | None = None
    Timeout: int | None = None
    StartPeriod: int | None = None
    StartInterval: int | None = None
    Retries: int | None = None

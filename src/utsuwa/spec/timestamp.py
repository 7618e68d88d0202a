"""Dates as documents have them (RFC 3339), without the C library: gmtime(3) reads /etc/localtime all the same."""

from __future__ import annotations

_CENTURIES = 146097
"""The days of four centuries, after which the calendar repeats itself."""
_TO_MARCH = 719468
"""The days from the first of March of the year 0, with which the calendar begins here, to 1970."""


def utc(seconds: int) -> str:
    """Seconds since 1970 as ``2006-01-02T15:04:05``, for the years 0 to 9999 of the Gregorian calendar."""
    days, second = divmod(seconds, 86400)
    era, day = divmod(days + _TO_MARCH, _CENTURIES)
    year = (day - day // 1460 + day // 36524 - day // (_CENTURIES - 1)) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153  # 0 is March; five months have 153 days, twice a year
    day -= (153 * month + 2) // 5 - 1
    year += era * 400 + (month > 9)
    month += 3 if month < 10 else -9
    return f"{year:04}-{month:02}-{day:02}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"

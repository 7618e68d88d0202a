"""Go's durations."""

from __future__ import annotations

import pytest

from utsuwa.errors import InvalidArgument
from utsuwa.spec.duration import nanoseconds, text

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("30s", 30 * SECOND),
        ("1m30s", 90 * SECOND),
        ("1.5h", 5400 * SECOND),
        ("100ms", SECOND // 10),
        ("2us", 2000),
        ("0", 0),
    ],
)
def test_read(written: str, value: int) -> None:
    assert nanoseconds(written) == value


@pytest.mark.parametrize("written", ["", "5", "s", "5 s", "-1s", "1.2.3s", "1x", ".s", "9" * 30 + "s"])
def test_refused(written: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid duration"):
        nanoseconds(written)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (30 * SECOND, "30s"),
        (90 * SECOND, "1m30s"),
        (3600 * SECOND, "1h0m0s"),
        (1_500_000_000, "1.5s"),
        (100_000_000, "100ms"),
        (1500, "1.5µs"),
        (0, "0s"),
    ],
)
def test_written(value: int, written: str) -> None:
    assert text(value) == written

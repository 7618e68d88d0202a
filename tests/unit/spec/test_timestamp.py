"""Dates without the C library are the C library's."""

from __future__ import annotations

import random
import time

import pytest

from utsuwa.spec.timestamp import utc

EDGES = [0, 951782399, 951782400, 951868800, 4107542399, 4107542400, -1, -62135596800, 253402300799]


@pytest.mark.parametrize("seconds", EDGES + random.Random(1).sample(range(EDGES[-2], EDGES[-1]), 200))
def test_it_is_what_gmtime_says(seconds: int) -> None:
    when = time.gmtime(seconds)
    assert utc(seconds) == "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}".format(*when[:6])

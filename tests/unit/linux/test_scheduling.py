"""Lists of processors as masks."""

from __future__ import annotations

import pytest

from utsuwa.errors import InvalidArgument
from utsuwa.linux.scheduling import cpu_mask


@pytest.mark.parametrize(
    ("text", "processors"), [("0", {0}), ("0-2", {0, 1, 2}), ("7, 1-2", {1, 2, 7}), ("64", {64}), ("0,8191", {0, 8191})]
)
def test_masks(text: str, processors: set[int]) -> None:
    mask = cpu_mask(text)
    number = int.from_bytes(mask, "little")
    assert {bit for bit in range(len(mask) * 8) if number >> bit & 1} == processors
    assert len(mask) % 8 == 0, "the kernel takes whole words"


@pytest.mark.parametrize("text", ["", ",", "1-", "-1", "3-1", "a", "8192", "0-99999", "1--2", "\u0661"])
def test_what_is_no_list(text: str) -> None:
    with pytest.raises(InvalidArgument, match="list of processors"):
        cpu_mask(text)

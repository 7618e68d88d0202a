"""Frames: put together from any pieces, refused when they are none."""

from __future__ import annotations

import pytest

from utsuwa.monitor import frames


def test_a_frame_is_dockers() -> None:
    assert frames.pack(frames.STDERR, b"hello") == b"\x02\0\0\0\0\0\0\x05hello"


@pytest.mark.parametrize("step", [1, 3, 8, 9, 100])
def test_pieces_of_any_size(step: int) -> None:
    stream = frames.pack(1, b"one") + frames.pack(2) + frames.pack(1, b"three" * 9)
    decoder, found = frames.Decoder(), []
    for at in range(0, len(stream), step):
        found += decoder.feed(stream[at : at + step])
    assert found == [(1, b"one"), (2, b""), (1, b"three" * 9)]


def test_an_endless_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="a frame of"):
        frames.Decoder().feed(frames.header(1, frames.LIMIT + 1))


def test_sizes() -> None:
    assert frames.unpack_size(frames.pack_size(24, 80)[8:]) == (24, 80)
    with pytest.raises(ValueError, match="4 bytes"):
        frames.unpack_size(b"123")

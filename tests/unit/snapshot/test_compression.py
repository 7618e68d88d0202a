"""Compressed layers: known by their first bytes, broken ones refused."""

from __future__ import annotations

import bz2
import gzip
import os
import sys
import zlib
from collections.abc import Callable

import pytest
import zstandard

from utsuwa.errors import InvalidArgument, Unsupported
from utsuwa.snapshot import compression

DATA = os.urandom(100_000) + bytes(3 << 20)
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
ZSTD = zstandard.ZstdCompressor().compress


def _read(data: bytes, step: int = 1000) -> bytes:
    position = 0

    def read(count: int) -> bytes:
        nonlocal position
        piece = data[position : position + min(count, step)]
        position += len(piece)
        return piece

    return b"".join(compression.decompressed(read))


@pytest.mark.parametrize(
    "packed",
    [
        DATA,
        gzip.compress(DATA),
        gzip.compress(DATA[:5000]) + gzip.compress(DATA[5000:]),
        gzip.compress(DATA) + bytes(700),
        ZSTD(DATA),
        ZSTD(DATA[:5000]) + ZSTD(DATA[5000:]),
        SKIPPABLE + ZSTD(DATA) + SKIPPABLE,
    ],
    ids=["plain", "gzip", "members", "padded", "zstd", "frames", "skippable"],
)
@pytest.mark.parametrize("step", [7, 1000, 1 << 20])
def test_every_form_is_read(packed: bytes, step: int) -> None:
    assert _read(packed, step) == DATA


def test_zlib_does_when_isal_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "isal", None)
    monkeypatch.setitem(sys.modules, "isal.igzip_lib", None)
    assert _read(gzip.compress(DATA[:5000]) + gzip.compress(DATA[5000:])) == DATA
    with pytest.raises(InvalidArgument, match="truncated"):
        _read(gzip.compress(DATA)[:-9])


def _corrupt(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(byte ^ 0x55 for byte in data[middle : middle + 64]) + data[middle + 64 :]


@pytest.mark.parametrize(
    ("packed", "text"),
    [
        (gzip.compress(DATA)[:50_000], "truncated"),
        (gzip.compress(DATA)[:-4], "truncated"),
        (_corrupt(gzip.compress(DATA)), "damaged"),
        (gzip.compress(DATA) + b"tail", "followed by something else"),
        (ZSTD(DATA)[:4] + b"\xff" * 50, "damaged"),
    ],
)
def test_broken_streams_are_refused(packed: bytes, text: str) -> None:
    with pytest.raises(InvalidArgument, match=text):
        _read(packed)


@pytest.mark.parametrize("pack", [bz2.compress, lambda data: b"\xfd7zXZ\0" + zlib.compress(data)])
def test_other_compressions_are_named(pack: Callable[[bytes], bytes]) -> None:
    with pytest.raises(Unsupported, match=r"bzip2|xz"):
        _read(pack(b"x"))

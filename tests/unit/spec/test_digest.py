"""Digests: their form, and streams checked against them."""

from __future__ import annotations

import hashlib

import pytest

from utsuwa.errors import InvalidArgument, Unavailable, Unsupported
from utsuwa.spec import digest


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_stream_is_verified_chunk_by_chunk(algorithm: str) -> None:
    data = bytes(range(256)) * 50
    name = digest.parse(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")
    assert name == digest.of(data, algorithm)
    verifier = digest.Verifier(name, len(data))
    for at in range(0, len(data), 1000):
        verifier.update(data[at : at + 1000])
    verifier.finish()
    assert (name.algorithm, name.hex[:12]) == (algorithm, name.short)


@pytest.mark.parametrize(
    "text", ["", "sha256", "sha256:", "sha256:abc", "sha256:" + "g" * 64, "sha256:" + "A" * 64, ":" + "a" * 64]
)
def test_malformed_digests_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        digest.parse(text)


def test_other_algorithms_are_named_as_unsupported() -> None:
    with pytest.raises(Unsupported, match='"md5" is not supported'):
        digest.parse("md5:" + "0" * 32)


def test_too_much_is_noticed_before_the_end_and_too_little_at_the_end() -> None:
    name = digest.of(b"abc")
    verifier = digest.Verifier(name, 3)
    with pytest.raises(Unavailable, match="more than the 3 bytes"):
        verifier.update(b"abcd")
    verifier = digest.Verifier(name, 3)
    verifier.update(b"ab")
    with pytest.raises(Unavailable, match="got 2 of the 3 bytes"):
        verifier.finish()
    with pytest.raises(Unavailable, match="another digest"):
        digest.verify(name, b"abd")

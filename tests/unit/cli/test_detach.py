"""The keys that end a session and leave the container."""

from __future__ import annotations

import pytest

from utsuwa.cli.detach import DetachKeys
from utsuwa.cli.flags import BadUsage


def test_the_sequence_in_one_piece_and_in_several() -> None:
    assert DetachKeys().feed(b"abc\x10\x11def") == (b"abc", True)
    keys = DetachKeys()
    assert keys.feed(b"a\x10") == (b"a", False)
    assert keys.feed(b"\x11") == (b"", True)


def test_a_beginning_that_goes_on_otherwise_is_passed_on() -> None:
    keys = DetachKeys("a,a,b")
    assert keys.feed(b"a") == (b"", False)
    assert keys.feed(b"aa") == (b"a", False)
    assert keys.feed(b"b") == (b"", True)
    assert keys.feed(b"ax") == (b"ax", False)


@pytest.mark.parametrize(("text", "typed"), [("", b"\x10\x11"), ("ctrl-a", b"\x01"), ("ctrl-@,x", b"\0x"), ("~", b"~")])
def test_spellings(text: str, typed: bytes) -> None:
    assert DetachKeys(text).feed(typed) == (b"", True)


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-ab", "ab", "a,,b", "é"])
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(BadUsage, match="--detach-keys"):
        DetachKeys(text)

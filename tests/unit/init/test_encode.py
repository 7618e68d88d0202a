"""The bytes of a plan: golden for the layout, errors for what can't be put into it."""

from __future__ import annotations

import struct

import pytest

from utsuwa.errors import Internal, InvalidArgument
from utsuwa.init.encode import encode
from utsuwa.plan import ops

MAGIC = b"UTUPLAN1"


def words(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def test_header_counts_operations_and_descriptors():
    assert encode((), {}, 7, (3, 4)) == MAGIC + words(0, 7, 2, 3, 4)


@pytest.mark.parametrize(
    ("op", "fields"),
    [
        (ops.NewSession(), b""),
        (ops.Rlimit(7, 1, 2), words(7, 1, 2)),
        (ops.OomScoreAdj(-1), b"\xff" * 8),
        (ops.Hostname(""), words(0) + bytes(8)),
        (ops.Hostname("sevenly"), words(7) + b"sevenly\0"),
        (ops.Hostname("eightful"), words(8) + b"eightful" + bytes(8)),
        (ops.JoinCgroups(("a", "b")), words(2, 1) + b"a" + bytes(7) + words(1) + b"b" + bytes(7)),
        (ops.Seccomp(b"\0\1", 3), words(2) + b"\0\1" + bytes(6) + words(3)),
        (ops.JoinNamespaces((5,), ()), words(1, 5, 0)),
        (ops.AwaitStart("start-listener"), words(9)),
        (ops.AwaitStart(""), b"\xff" * 8),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, ops.Op) else "",
)
def test_each_kind_of_field(op, fields):
    encoded = encode((op,), {"start-listener": 9}, 5)
    assert encoded[:32] == MAGIC + words(1, 5, 0)
    assert encoded[32:] == struct.pack("<II", op.code, len(fields)) + fields


def test_undecodable_bytes_of_a_path_survive():
    assert b"a\xffb" in encode((ops.Hostname(b"a\xffb".decode("utf-8", "surrogateescape")),), {}, 5)


def test_nul_in_a_string_is_refused():
    with pytest.raises(InvalidArgument, match="NUL"):
        encode((ops.Hostname("a\0b"),), {}, 5)


def test_a_slot_without_a_descriptor_is_our_fault():
    with pytest.raises(Internal, match="start-listener"):
        encode((ops.AwaitStart("start-listener"),), {}, 5)

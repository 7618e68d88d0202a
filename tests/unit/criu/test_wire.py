"""Protocol buffers against bytes that protoc's own documentation and libraries give."""

from __future__ import annotations

import pytest

from utsuwa.criu.wire import data, field, fields, number
from utsuwa.errors import Unavailable


@pytest.mark.parametrize(
    ("which", "value", "encoded"),
    [
        (1, 150, "089601"),
        (2, "testing", "120774657374696e67"),
        (3, True, "1801"),
        (16, 1, "800101"),
        (1, -1, "08ffffffffffffffffff01"),
        (2, b"", "1200"),
        (4, 1 << 40, "20808080808020"),
    ],
)
def test_a_field(which: int, value: int | str | bytes, encoded: str) -> None:
    assert field(which, value).hex() == encoded
    found = fields(bytes.fromhex(encoded))
    if isinstance(value, int):
        assert number(found, which) == value
    else:
        assert data(found, which) == (value.encode() if isinstance(value, str) else value)


def test_fields_come_in_order_and_the_last_one_counts() -> None:
    found = fields(field(1, 1) + field(2, b"x") + field(1, 2))
    assert found == {1: [1, 2], 2: [b"x"]}
    assert number(found, 1) == 2
    assert (number(found, 9, 7), data(found, 9)) == (7, b"")


def test_fixed_fields_are_skipped() -> None:
    assert number(fields(bytes.fromhex("0d01020304") + bytes.fromhex("110102030405060708") + field(3, 5)), 3) == 5


@pytest.mark.parametrize("broken", ["08", "0896", "1205746573", "0b", "ff", "0d0102"])
def test_what_is_no_message_is_refused(broken: str) -> None:
    with pytest.raises(Unavailable):
        fields(bytes.fromhex(broken))


def test_kinds_are_not_confused() -> None:
    with pytest.raises(Unavailable):
        number(fields(field(1, b"x")), 1)
    with pytest.raises(Unavailable):
        data(fields(field(1, 1)), 1)

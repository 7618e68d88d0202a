"""JSON text in and out, held against the json package where they should agree."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from utsuwa.errors import InvalidArgument
from utsuwa.spec import codec
from utsuwa.spec.runtime import Process, Spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "json: line 1, column 1: the text is empty"),
        (" \n ", "json: line 2, column 2: the text is empty"),
        ('{"a":1', "json: line 1, column 7: the text ends too early, expecting ',' delimiter"),
        ('{"a":}', "json: line 1, column 6: expected a JSON value"),
        ('{"a":1,\n "b": tru}', "json: line 2, column 7: expected a JSON value"),
        ('{"a":1}\n\n x', "json: line 3, column 2: unexpected text after the value"),
        ("{}{}", "json: line 1, column 3: unexpected text after the value"),
        ("{a}", "json: line 1, column 2: expecting property name enclosed in double quotes"),
        ('"a\tb"', "json: line 1, column 3: invalid control character"),
        ('"abc', "json: line 1, column 1: unterminated string"),
        ("[NaN]", "json: NaN is not JSON"),
        ("-Infinity", "json: -Infinity is not JSON"),
        ("\ufeff{}", "json: line 1, column 1: expected a JSON value"),
        ("[" * 100_000, "json: nested too deeply"),
        ("1" * 5000, "json: an integer is too long"),
        (b'{\n"a": "\xff"}', "json: line 2: byte 0xff is not UTF-8"),
        (b'"\xed\xa0\x80"', "json: line 1: byte 0xed is not UTF-8"),
    ],
)
def test_broken_text(text: bytes | str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        codec.parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "text", [' {"a": [1, -2.5e3, true, false, null, "\\u00e9\\n"], "": {}} \r\n\t', "[]", '"x"', "0"]
)
def test_reads_as_the_json_package_does(text: str) -> None:
    assert codec.parse(text) == codec.parse(text.encode()) == json.loads(text)


def test_last_of_duplicate_properties_wins() -> None:
    assert codec.parse('{"a": 1, "a": 2}') == {"a": 2}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('["\\ud800", "\\uDfffx"]', ["\ufffd", "\ufffdx"]),
        ('{"\\udc80": "\\ud83d\\ude00"}', {"\ufffd": "\U0001f600"}),
        ('"\udc80"', "\ufffd"),
    ],
)
def test_lone_surrogates_become_the_replacement_character(text: str, value: object) -> None:
    assert codec.parse(text) == value
    json.dumps(value, ensure_ascii=False).encode()


def _any_value(random_: random.Random, depth: int) -> object:
    kind = random_.randrange(8 if depth else 6)
    if kind == 6:
        return [_any_value(random_, depth - 1) for _ in range(random_.randrange(4))]
    if kind == 7:
        return {str(random_.random()): _any_value(random_, depth - 1) for _ in range(random_.randrange(4))}
    text = "".join(random_.choice('ab"\\/\n\t\x01\x7fé\u2028\U0001f600<&') for _ in range(random_.randrange(6)))
    return [None, True, random_.randrange(-(1 << 70), 1 << 70), random_.uniform(-1e9, 1e9), text, False][kind]


@pytest.mark.parametrize("indent", [None, "\t", 2, 4])
def test_writes_as_the_json_package_does(indent: str | int | None) -> None:
    random_ = random.Random(7)
    for _ in range(200):
        value = _any_value(random_, 4)
        separators = (",", ":") if indent is None else (",", ": ")
        expected = json.dumps(value, indent=indent, ensure_ascii=False, separators=separators)
        assert codec.dumps(value, indent) == expected
        assert codec.parse(expected) == value


def test_a_file_name_that_is_not_utf_8_is_written_as_escape() -> None:
    assert codec.dumps({"bundle": b"/a\xff".decode("utf-8", "surrogateescape")}) == '{"bundle":"/a\\udcff"}'


@pytest.mark.parametrize("value", [{1: 2}, b"x", {"a": object()}])
def test_refuses_to_write_what_json_can_not_hold(value: object) -> None:
    with pytest.raises(TypeError, match="JSON"):
        codec.dumps(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_refuses_to_write_numbers_that_json_has_not(value: object) -> None:
    with pytest.raises(ValueError, match="JSON"):
        codec.dumps(value)


def test_encode_leaves_absent_properties_out_and_keeps_the_order_of_declaration() -> None:
    process = codec.decode(
        Process, b'{"cwd": "/", "args": [], "ioPriority": {"class": "IOPRIO_CLASS_BE"}, "terminal": false}'
    )
    encoded = codec.encode(process)
    assert encoded == {
        "terminal": False,
        "user": {"uid": 0, "gid": 0},
        "args": [],
        "cwd": "/",
        "ioPriority": {"class": "IOPRIO_CLASS_BE"},
    }
    assert list(encoded) == ["terminal", "user", "args", "cwd", "ioPriority"]
    assert codec.encode((process, {"a": (process,)})) == [encoded, {"a": [encoded]}]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            b'{"ociVersion": "1.0.0", "process": {"cwd": "/", "user": {"uid": "root"}}}',
            'process.user.uid: expected an integer from 0 to 4294967295, found "root"',
        ),
        ("{}", "ociVersion: missing, expected a string"),
        ({"ociVersion": 1}, "ociVersion: expected a string, found 1"),
        ("[", "json: line 1, column 2: the text ends too early, expected a JSON value"),
    ],
)
def test_decode_takes_text_bytes_and_values(source: object, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        codec.decode(Spec, source)
    assert str(caught.value) == message


def test_broken_json_is_our_error_where_the_json_package_was_never_imported() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from utsuwa.errors import InvalidArgument\n"
        "from utsuwa.spec.codec import parse\n"
        "for text in ('{\"a\": [1}', '{\"a\" 1}', '[1 2]', '\"abc', '{', ''):\n"
        "    try:\n"
        "        parse(text)\n"
        "    except InvalidArgument as error:\n"
        "        print(error)\n"
    )
    source = str(Path(codec.__file__).parents[2])
    command = [sys.executable, "-I", "-S", "-c", program, source]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(run.stdout.splitlines()) == 6
    assert run.stdout.startswith("json: line 1, column 9: expecting ',' delimiter")

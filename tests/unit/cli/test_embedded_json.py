"""The JSON module of the embedded interpreter agrees with the interpreter's own in all that lean packages ask."""

from __future__ import annotations

import _json
import importlib.util
import json
import random
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.needs import needs
from utsuwa.spec.codec import _ScannerContext

SOURCE = Path(__file__).resolve().parents[3] / "src" / "utsuwa" / "cli" / "c"
INCLUDE = Path(sysconfig.get_path("include"))
pytestmark = [
    needs("cc"),
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the embedded interpreter is Python 3.11"),
    pytest.mark.skipif(not (INCLUDE / "Python.h").exists(), reason=f"no {INCLUDE}/Python.h"),
]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The module, as an extension that this interpreter can load."""
    path = tmp_path_factory.mktemp("json") / "_utsuwa_json.so"
    flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-I{INCLUDE}"]
    subprocess.run(["cc", *flags, str(SOURCE / "json.c"), str(SOURCE / "json_write.c"), "-o", str(path)], check=True)
    spec = importlib.util.spec_from_file_location("_utsuwa_json", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(module: Any, text: str, at: int = 0) -> object:
    """What reading gives, in a form that compares: values with their types, errors with their positions."""
    try:
        value, end = module.make_scanner(_ScannerContext())(text, at)
    except StopIteration as stop:
        return ("stop", stop.value)
    except ValueError as error:
        return ("error", getattr(error, "msg", str(error)).rstrip(": "), getattr(error, "pos", None))
    except RecursionError:
        return ("too deep",)
    return (repr(value), end)


VALID = (
    *(
        "null",
        "true",
        "false",
        "0",
        "-0",
        "12",
        "-7",
        "1.5",
        "-0.25e-3",
        "1e5",
        "1E+2",
        "9" * 40,
        "1.7976931348623157e308",
    ),
    *(
        '""',
        '"a"',
        '"\\"\\\\\\/\\b\\f\\n\\r\\t"',
        '"\\u00e9\\ud83d\\ude00"',
        '"é€😀"',
        '"a\\u0000b"',
        '"\\ud800"',
        '"\\ud800\\u0041"',
    ),
    *("[]", "[ ]", "[1, 2 ,3]", "{}", "{ }", '{"a":1}', '{"a" : [ {"a":{}} , null ] , "b":"c"}', '{"a":1,"a":2}'),
    *("1 trailing", "truex", "01", "1.", "1.e5", "2e", "2e+", "-1-", "[1]]"),
)
BROKEN = (
    *("", " ", "-", "+1", ".5", "nul", "tru", "NaN", "Infinity", "-Infinity", "-Inf", "x", "é", "'a'"),
    *(
        '"',
        '"a',
        '"a\\',
        '"\\x"',
        '"\\u12"',
        '"\\u12g4"',
        '"\\ud800\\u12"',
        '"\\ud800\\uzzzz"',
        '"a\nb"',
        '"\x00"',
        '"é\x1f"',
    ),
    *(
        "[",
        "[1",
        "[1,",
        "[,]",
        "[1,]",
        "[1 2]",
        "[nul]",
        "{",
        "{1:2}",
        '{"a"',
        '{"a"}',
        '{"a":',
        '{"a":}',
        '{"a":1',
        '{"a":1,',
    ),
    *('{"a":1,}', '{"a":1 "b":2}', "[" * 100_000, '{"a":' * 100_000, "9" * 5000),
)


@pytest.mark.parametrize("text", [*VALID, *BROKEN], ids=lambda text: text[:20])
def test_reading_agrees(ours: ModuleType, text: str) -> None:
    assert read(ours, text) == read(_json, text)


def read_string(module: Any, text: str, at: int) -> object:
    try:
        return module.scanstring(text, at, True)
    except ValueError as error:
        return (getattr(error, "msg", str(error)).rstrip(": "), getattr(error, "pos", None))


@pytest.mark.parametrize("text", [each for each in (*VALID, *BROKEN) if each[:1] == '"'])
def test_reading_a_string_agrees(ours: ModuleType, text: str) -> None:
    for whole, at in ((text, 1), (f'{{"log":{text},"x":1}}', 8), (text, len(text)), (text, len(text) + 1), (text, -1)):
        assert read_string(ours, whole, at) == read_string(_json, whole, at)


def test_reading_agrees_from_the_middle_of_a_text(ours: ModuleType) -> None:
    for at in range(12):
        assert read(ours, ' [1, {"é": 2}]', at) == read(_json, ' [1, {"é": 2}]', at)


def test_reading_damaged_texts_agrees(ours: ModuleType) -> None:
    dice = random.Random(1)
    text = json.dumps(
        {"process": {"args": ["é", "\\", '"'], "n": [-1.5e3, 12, True, None]}, "ü": [[], {}]}, ensure_ascii=False
    )
    for _ in range(3000):
        at = dice.randrange(len(text))
        damaged = text[:at] + dice.choice(["", *'"\\,:{}[]x0-.e\n é']) + text[at + dice.randrange(2) :]
        assert read(ours, damaged) == read(_json, damaged), damaged


def test_equal_names_are_one_object(ours: ModuleType) -> None:
    value, _ = ours.make_scanner(_ScannerContext())('[{"some name":1},{"some name":2}]', 0)
    (first,), (second,) = value
    assert first is second


def refuse(value: object) -> object:
    if isinstance(value, complex):
        return ["complex", value.real]
    raise TypeError(f"no {type(value).__name__}")


def write(module: Any, value: object) -> object:
    """What writing gives, or the kind of its error."""
    encode = module.make_encoder(None, refuse, module.encode_basestring, None, ":", ",", False, False, False)
    try:
        return "".join(encode(value, 0))
    except (TypeError, ValueError, RecursionError) as error:
        return type(error)


class Name(str):
    pass


DEEP: list[object] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, 0, -12, 10**40, 1.5, -0.0, 1e300, "", "a", 'é"\\\n\r\t\f\b\x00\x1f\x7f😀\ud800'),
        Name("x"),
        *([], {}, (), [1, [2, {}]], {"a": {"b": [None]}, "é": 1}, (1, "two"), 1j, [1j], float("inf"), [float("nan")]),
        *(object(), {"a": b"bytes"}, DEEP),
    ],
    ids=lambda value: "deep" if value is DEEP else repr(value)[:20],
)  # fmt: skip
def test_writing_agrees(ours: ModuleType, value: object) -> None:
    assert write(ours, value) == write(_json, value)


def test_strings_agree(ours: ModuleType) -> None:
    for text in (*(chr(number) for number in range(0x300)), "plain", "é" * 300 + '"', "\U0001f600\\", "\ud800"):
        assert ours.encode_basestring(text) == _json.encode_basestring(text)  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="first argument must be a string, not int"):
        ours.encode_basestring(1)


def test_what_it_can_not_do_is_refused(ours: ModuleType) -> None:
    with pytest.raises(NotImplementedError):
        ours.make_encoder(None, refuse, ours.encode_basestring, 2, ":", ",", False, False, False)
    with pytest.raises(TypeError, match="must be a string"):
        ours.make_encoder(None, refuse, None, None, ":", ",", False, False, False)({1: 2}, 0)

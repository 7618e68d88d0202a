"""JSON in and out without the json package (importing that costs 6 ms): the interpreter's C scanner and a small writer.

Reading follows Go's decoder where runc's callers could tell: the last of duplicate keys wins, text after the value is
an error, lone surrogates become U+FFFD. Go's case-insensitive property names are not followed.
"""

from __future__ import annotations

import _json

from utsuwa.errors import InvalidArgument
from utsuwa.spec import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, TypeVar

    R = TypeVar("R", bound=record.Record)

_SPACE = " \t\n\r"


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


class _ScannerContext:
    """The attributes that the C scanner reads its settings from."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_refuse_constant)
    memo: dict[str, str] = {}


_make_scanner: Any = _json.make_scanner
_scan = _make_scanner(_ScannerContext())


def parse(data: bytes | str) -> Any:
    """The value of a JSON text: dict, list, str, int, float, bool or None.

    Raises InvalidArgument that tells line and column: bytes that are not UTF-8, text that is not JSON, a second value,
    nesting that is too deep, an integer of more than 4300 digits.
    """
    text = data if isinstance(data, str) else _text(data)
    start = len(text) - len(text.lstrip(_SPACE))
    try:
        value, end = _scanned(text, start)
    except StopIteration as stop:
        raise _error(text, stop.value, "expected a JSON value") from None
    except ValueError as error:  # json.JSONDecodeError has a position, what int() and _refuse_constant raise has none
        raise _error(text, getattr(error, "pos", None), getattr(error, "msg", str(error))) from None
    except RecursionError:
        raise InvalidArgument("json: nested too deeply") from None
    rest = text[end:].lstrip(_SPACE)
    if rest:
        raise _error(text, len(text) - len(rest), "unexpected text after the value")
    if "\\ud" in text or "\\uD" in text or (text is data and not text.isascii()):
        value = _without_surrogates(value)
    return value


def _scanned(text: str, start: int) -> tuple[Any, int]:
    """What the C scanner makes of the text. Until Python 3.12 it fails to raise when json.decoder is not imported."""
    try:
        return _scan(text, start)  # type: ignore[no-any-return]
    except SystemError:
        import json.decoder  # noqa: F401

        return _scan(text, start)  # type: ignore[no-any-return]


def value_at(text: str, start: int) -> Any:
    """The value that begins there in a JSON text that ``parse`` takes. Raises ValueError or StopIteration for none."""
    return _scanned(text, start)[0]


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidArgument(f"json: line {line}: byte 0x{data[error.start]:02x} is not UTF-8") from None


def _error(text: str, position: int | None, problem: str) -> InvalidArgument:
    problem = problem.removesuffix(" at").removesuffix(" starting")  # the scanner's words expect a position behind them
    problem = problem[:1].lower() + problem[1:] if problem[1:2].islower() and problem[:3] != "NaN" else problem
    if position is None:
        return InvalidArgument("json: " + ("an integer is too long" if "int_max_str_digits" in problem else problem))
    if position >= len(text.rstrip(_SPACE)):
        problem = f"the text ends too early, {problem}" if text.strip(_SPACE) else "the text is empty"
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return InvalidArgument(f"json: line {line}, column {column}: {problem}")


def _without_surrogates(value: Any) -> Any:
    # A lone surrogate can't be encoded later on, where nobody expects it: in a path, in an environment, in a log.
    if isinstance(value, str):
        return value if value.isascii() else _well_formed(value)
    if isinstance(value, list):
        return [_without_surrogates(each) for each in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(each) for key, each in value.items()}
    return value


def _well_formed(text: str) -> str:
    return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)


def decode(cls: type[R], source: object) -> R:
    """A record of class ``cls`` from JSON text or from a parsed value; unknown properties are ignored, null is absent.

    Raises InvalidArgument: broken JSON with line and column, a value that does not fit with its path
    (``process.user.uid: expected an integer from 0 to 4294967295, found "root"``).
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        source = parse(bytes(source))
    elif isinstance(source, str):
        source = parse(source)
    return record.decode(cls, source)


def encode(value: Any) -> Any:
    """A record as plain dicts, lists and scalars: in order of declaration, without absent properties.

    Containers of records are converted too; everything else is returned as it is.
    """
    if isinstance(value, record.Record):
        plain = {}
        for name in record.fields(type(value)):
            held = getattr(value, name)
            if held is not None:
                plain[record.json_name(name)] = held if type(held) in _PLAIN else encode(held)
        return plain
    if isinstance(value, (list, tuple)):
        return list(value) if _PLAIN.issuperset(map(type, value)) else [encode(each) for each in value]
    if isinstance(value, dict):
        for key in value:
            if type(key) is not str:
                raise TypeError(f"a JSON property must be a string, not {type(key).__name__}")
        return {key: each if type(each) in _PLAIN else encode(each) for key, each in value.items()}
    return value


_PLAIN = frozenset((str, int, bool))


def dumps(value: Any, indent: str | int | None = None) -> str:
    """JSON text of a record or of plain values; on one line, or with ``indent`` ("\\t" or a number of spaces) a level.

    Characters beyond ASCII are written as they are, ``<``, ``>`` and ``&`` too (Go would escape these).
    Raises TypeError for what JSON can't hold, ValueError for infinities: both are the caller's fault.
    """
    if indent is None:
        text = "".join(_encode_on_one_line(encode(value), 0))
    else:
        pieces: list[str] = []
        _write(encode(value), "\n", " " * indent if isinstance(indent, int) else indent, pieces.append)
        text = "".join(pieces)
    if not text.isascii():  # a file name that is not UTF-8 holds lone surrogates: write these as \\udcXX escapes
        text = text.encode("utf-8", "backslashreplace").decode()
    return text


def _refuse(value: object) -> NoReturn:
    raise TypeError(f"JSON can't hold {type(value).__name__}")


_make_encoder: Any = _json.make_encoder
# markers, default, string encoder, indent (which it can't), separators, sort keys, skip keys, allow NaN
_encode_on_one_line = _make_encoder(None, _refuse, _json.encode_basestring, None, ":", ",", False, False, False)

_CONSTANTS = {None: "null", True: "true", False: "false"}


def _write(value: Any, newline: str, indent: str, put: Any) -> None:
    kind = type(value)
    if kind is str:
        put(_json.encode_basestring(value))
    elif kind is dict or kind is list:
        _write_container(value, newline, indent, put)
    elif value is None or kind is bool:
        put(_CONSTANTS[value])
    elif kind is int:
        put(int.__repr__(value))
    elif kind is float:
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"JSON has no {value!r}")
        put(float.__repr__(value))
    else:
        _refuse(value)


def _write_container(value: Any, newline: str, indent: str, put: Any) -> None:
    opening, closing = "{}" if type(value) is dict else "[]"
    if not value:
        put(opening + closing)
        return
    inner = newline + indent
    separator = opening + inner
    for each in value:
        put(separator)
        separator = "," + inner
        if opening == "{":
            put(_json.encode_basestring(each) + ": ")
            each = value[each]
        _write(each, inner, indent, put)
    put(newline + closing)

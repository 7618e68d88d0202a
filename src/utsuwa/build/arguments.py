"""The arguments of instructions: flags, JSON lists, pairs, durations."""

from __future__ import annotations

from utsuwa.build.reader import parse_document
from utsuwa.build.words import Words
from utsuwa.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.build.reader import Statement

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_SHORTEST = 10**6
"""Docker has no healthcheck more often than every millisecond."""


def flags(statement: Statement, known: dict[str, str]) -> dict[str, Any]:
    """The flags of a statement by name; ``known`` says which are ``text``, ``switch`` or ``list``."""
    found: dict[str, Any] = {}
    for flag in statement.flags:
        name, equals, value = flag[2:].partition("=")
        kind = known.get(name)
        if kind is None:
            raise InvalidArgument(f"unknown flag: --{name}{_suggestion(name, known)}")
        if kind == "switch":
            if equals and value not in ("true", "false"):
                raise InvalidArgument(f"expecting boolean value for flag --{name}, not: {value}")
            found[name] = value != "false"
            continue
        if not equals:
            raise InvalidArgument(f"missing a value on flag: --{name}")
        if kind == "list":
            found.setdefault(name, []).append(value)
        elif name in found:
            raise InvalidArgument(f"duplicate flag specified: --{name}")
        else:
            found[name] = value
    return found


def _suggestion(name: str, known: dict[str, str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, known, 1, 0.6)
    return f" (did you mean --{close[0]}?)" if close else ""


def json_words(text: str) -> list[str] | None:
    """The strings of a JSON list; None for anything else, which is then for the shell."""
    if not text.startswith("["):
        return None
    from utsuwa.spec.codec import parse

    try:
        words = parse(text.encode())
    except InvalidArgument:
        return None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return None
    return words


def raw_words(text: str, escape: str) -> list[str]:
    """Words as they were written, their quotes and escapes still in them."""
    return Words(escape, raw=True).split(text)


def pairs(keyword: str, text: str, escape: str) -> tuple[tuple[str, str], ...]:
    """``NAME=value …``, or the old form ``NAME the rest of the line``."""
    words = raw_words(text, escape)
    if not words:
        raise InvalidArgument(f"{keyword} must have two arguments")
    if "=" not in words[0]:
        name, *rest = text.split(None, 1)
        if not rest:
            raise InvalidArgument(f"{keyword} must have two arguments")
        return ((name, rest[0]),)
    found = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise InvalidArgument(f"Syntax error - can't find = in {word!r}. Must be of the form: name=value")
        if not name:
            raise InvalidArgument(f"{keyword} names can not be blank")
        found.append((name, value))
    return tuple(found)


def announces(word: str, names: set[str]) -> bool:
    """Whether a word of COPY stands for one of its here-documents."""
    document = parse_document(word) if "<<" in word else None
    return document is not None and document.name in names


def duration(name: str, text: str) -> int:
    """Nanoseconds of Go's ``1m30s``; 0 stands for the default."""
    total, digits, rest = 0.0, "", text
    while rest:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(digits) :]
        unit = rest[: len(rest) - len(rest.lstrip("nsuµmh"))]
        unit = next((each for each in (unit, unit[:2], unit[:1]) if each in _UNITS), "")
        if digits == "0" and not rest and not total:
            break
        if not digits.replace(".", "", 1).isdigit() or not unit:
            raise InvalidArgument(f'--{name}: invalid duration "{text}" (as in 30s or 1m30s)')
        total += float(digits) * _UNITS[unit]
        rest = rest[len(unit) :]
    if not text:
        raise InvalidArgument(f'--{name}: invalid duration ""')
    if 0 < total < _SHORTEST:
        raise InvalidArgument(f"Interval {name!r} cannot be less than 1ms")
    return int(total)


def count(name: str, text: str) -> int:
    """A number that is not negative."""
    if not text.isascii() or not text.isdigit():
        raise InvalidArgument(f"--{name} must be a number of at least 0, found {text!r}")
    return int(text)

"""The functions of ``--format`` templates: Go's own, and those that Docker's command line adds."""

from __future__ import annotations

from utsuwa.cli.absent import NOTHING
from utsuwa.spec.codec import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def show(value: Any) -> str:
    """A value as Go prints it with ``%v``."""
    if value is None:
        return "<no value>"
    return _inside(value)


def _inside(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "<nil>"
    if isinstance(value, list | tuple):
        return f"[{' '.join(map(_inside, value))}]"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_inside(value[key])}' for key in sorted(value) if not callable(value[key]))}]"
    return str(value)


def truth(value: Any) -> bool:
    """Go's idea of it: not zero, not empty."""
    return bool(value)


def as_json(value: Any) -> str:
    """The value as compact JSON; methods are left out."""
    if isinstance(value, NOTHING):
        return "null"
    if isinstance(value, dict):
        value = {key: part() if callable(part) else part for key, part in value.items() if not _takes(part)}
    return dumps(value)


def _takes(value: Any) -> bool:
    return callable(value) and bool(value.__code__.co_argcount)


def _printf(template: str, *values: Any) -> str:
    """%s %v %d %q %t %x %f %%, with a width and a precision."""
    given = list(values)
    result, rest = "", template
    while "%" in rest:
        before, _, rest = rest.partition("%")
        size = len(rest) - len(rest.lstrip("-+ 0123456789."))
        flags, verb, rest = rest[:size], rest[size : size + 1], rest[size + 1 :]
        result += before
        if verb == "%":
            result += "%"
        elif not given:
            result += f"%!{verb}(MISSING)"
        else:
            result += _formatted(flags, verb, given.pop(0))
    extra = ", ".join(map(show, given))
    return result + rest + (f"%!(EXTRA {extra})" if extra else "")


def _formatted(flags: str, verb: str, value: Any) -> str:
    if len(flags) > 6:
        raise ValueError(f"width {flags[:6]}... is too large")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if verb in "dxXof" and number:
        return str(f"%{flags}{verb}" % value)
    if verb == "q":
        return str(f"%{flags}s" % dumps(str(value)))
    if verb in "svt":
        return str(f"%{flags}s" % _inside(value))
    return f"%!{verb}({_inside(value)})"


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list | tuple | str):
            if not isinstance(key, int) or not 0 <= key < len(value):
                raise IndexError(f"index out of range: {key}")
            value = value[key]
        else:
            raise ValueError("can't index what is no list and no map")
    return value


def _equal(first: Any, *others: Any) -> bool:
    return any(first == other for other in others)


def _and(*values: Any) -> Any:
    return next((value for value in values if not truth(value)), values[-1])


def _or(*values: Any) -> Any:
    return next((value for value in values if truth(value)), values[-1])


def _slice(value: Any, *bounds: int) -> Any:
    if any(not 0 <= bound <= len(value) for bound in bounds):
        raise IndexError("slice index out of range")
    return value[slice(*bounds)] if len(bounds) > 1 else value[bounds[0] if bounds else 0 :]


def _pad(text: str, before: int, after: int) -> str:
    return " " * before + text + " " * after if text else text


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": as_json,
    "join": lambda values, by: by.join(map(_inside, values or ())),
    "split": lambda text, by: text.split(by),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "title": lambda text: " ".join(word[:1].upper() + word[1:] for word in text.split(" ")),
    "pad": _pad,
    "truncate": lambda text, size: text[:size],
    "print": lambda *values: "".join(map(show, values)),
    "println": lambda *values: " ".join(map(show, values)) + "\n",
    "printf": _printf,
    "len": len,
    "index": _index,
    "slice": _slice,
    "eq": _equal,
    "ne": lambda first, second: first != second,
    "lt": lambda first, second: first < second,
    "le": lambda first, second: first <= second,
    "gt": lambda first, second: first > second,
    "ge": lambda first, second: first >= second,
    "and": _and,
    "or": _or,
    "not": lambda value: not truth(value),
}
HEADING: dict[str, Callable[..., Any]] = {
    **FUNCTIONS,
    **dict.fromkeys(
        ("json", "lower", "upper", "title", "join", "split", "truncate", "println"), lambda *values: values[0]
    ),
}
"""What they do in a table's heading: leave the column's name alone."""

"""The base of every typed document: a frozen record made from annotations, and the decoder of its JSON form.

    class Rlimit(Record):
        type: str                      # required
        hard: u64
        note: str | None = None        # optional

The grammar of annotations is small: ``str``, ``bool``, ``float``, ``int``, the integers below, ``object`` (any JSON),
``X | None``, ``tuple[X, ...]``, ``dict[str, X]``, records, and :class:`OneOf` choices; names are looked up where the
class is. A name that is a Python keyword takes a trailing underscore (``class_``).

Records keep their values in the instance dictionary and their defaults on the class: a class costs nothing at import
beyond the ``class`` statement, and decoding stores only what the document holds. Decoders are put together at the first
use of a field, from closures; generated source would cost 100 µs a class in ``compile``, which a runtime that lives for
5 ms never earns back.
"""

from __future__ import annotations

import sys

from utsuwa.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn, Self, TypeVar, dataclass_transform

    Decoder = Callable[[Any], Any]
    R = TypeVar("R", bound="Record")
else:

    def dataclass_transform(**_options):
        """Stand in for typing's: importing typing costs 8 ms."""
        return lambda cls: cls


# Names for annotations; what they admit is in _RANGES.
u16 = int
u32 = int
u64 = int
i32 = int
i64 = int
_RANGES = {
    "u16": (0, 0xFFFF),
    "u32": (0, 0xFFFF_FFFF),
    "u64": (0, 0xFFFF_FFFF_FFFF_FFFF),
    "i32": (-0x8000_0000, 0x7FFF_FFFF),
    "i64": (-0x8000_0000_0000_0000, 0x7FFF_FFFF_FFFF_FFFF),
}


class OneOf:
    """A string that must be one of ``values``; used in annotations by the name it is bound to."""

    def __init__(self, *values: str) -> None:
        self.values = values


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Record:
    """A frozen value of the fields its class annotates, built from keywords; equal when class and fields are equal."""

    def __init__(self, **values: Any) -> None:
        cls = type(self)
        required, declared = _NAMES.get(cls) or _names(cls)
        if not required <= values.keys() <= declared:
            for name in values.keys() - declared:
                raise TypeError(f"{cls.__name__} has no field {name!r}")
            for name in required - values.keys():
                raise TypeError(f"{cls.__name__} needs the field {name!r}")
        self.__dict__.update(values)

    @classmethod
    def restored(cls, values: dict[str, Any]) -> Self:
        """A record whose ``__dict__`` was this once: nothing of it is looked at."""
        record = cls.__new__(cls)
        object.__setattr__(record, "__dict__", values)
        return record

    def replace(self, **changes: Any) -> Self:
        """A copy of this record with some fields changed."""
        return type(self)(**{**self.__dict__, **changes})

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen, use replace({name}=…)")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in fields(type(self)))

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, name) for name in fields(type(self)))))

    def __repr__(self) -> str:
        shown = ((name, getattr(self, name)) for name in fields(type(self)))
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown if value is not None)})"


class Mismatch(Exception):
    """A JSON value that an annotation does not admit; ``path`` grows from the inside out while it travels up."""

    def __init__(self, expected: str, found: object = ...) -> None:
        self.expected = expected
        self.found = found
        self.path: list[str | int] = []

    def __str__(self) -> str:
        where = ""
        for part in reversed(self.path):
            where += f"[{part}]" if isinstance(part, int) else part if part[0] == "[" else f".{part}" if where else part
        problem = (
            f"missing, expected {self.expected}"
            if self.found is ...
            else f"expected {self.expected}, found {shown(self.found)}"
        )
        return f"{where}: {problem}" if where else problem


def shown(value: object) -> str:
    """How an error names a JSON value: short ones in full and with control characters escaped, containers by kind."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, str):
        from _json import encode_basestring  # loading it takes 0.2 ms, which only errors need to pay

        return encode_basestring(value if len(value) <= 60 else f"{value[:57]}...")
    if isinstance(value, int) and value.bit_length() > 200:  # printing a hostile number takes quadratic time, or raises
        return "a huge integer"
    return "null" if value is None else str(value).lower()


_FIELDS: dict[type, dict[str, tuple[str, str]]] = {}
_NAMES: dict[type, tuple[frozenset[str], frozenset[str]]] = {}
_RECORD_DECODERS: dict[type, Decoder] = {}
_DECODERS: dict[tuple[str, str], Decoder] = {}


def fields(cls: type[Record]) -> dict[str, tuple[str, str]]:
    """The fields of a record class in order of declaration, base classes first: name -> (annotation, its module)."""
    found = _FIELDS.get(cls)
    if found is None:
        found = {}
        for base in reversed(cls.__mro__[:-1]):
            for name, annotation in vars(base).get("__annotations__", {}).items():
                found[name] = (annotation, base.__module__)
        _FIELDS[cls] = found
    return found


def _names(cls: type[Record]) -> tuple[frozenset[str], frozenset[str]]:
    """The fields without a default, and all."""
    declared = fields(cls)
    required = frozenset([name for name in declared if not hasattr(cls, name)])
    _NAMES[cls] = required, frozenset(declared)
    return _NAMES[cls]


def json_name(field: str) -> str:
    """The JSON property that a field stands for (``class_`` -> ``class``)."""
    return field[:-1] if field[-1] == "_" else field


def decode(cls: type[R], value: object) -> R:
    """A record of class ``cls`` from a parsed JSON object; unknown properties are ignored, null counts as absent.

    Raises InvalidArgument with the JSON path of the first value that does not fit.
    """
    try:
        found: R = record_decoder(cls)(value)
        return found
    except Mismatch as mismatch:
        raise InvalidArgument(str(mismatch)) from None


def record_decoder(cls: type[Record]) -> Decoder:
    """The function that turns a parsed JSON object into a ``cls``, made at first use; it raises Mismatch."""
    decoder = _RECORD_DECODERS.get(cls)
    if decoder is None:
        decoder = _RECORD_DECODERS[cls] = _make_record_decoder(cls)
    return decoder


def _make_record_decoder(cls: type[Record]) -> Decoder:
    declared = fields(cls)
    required = [name for name in declared if not hasattr(cls, name)]
    table: dict[str, tuple[str, Decoder]] = {}
    new, get, put = cls.__new__, table.get, object.__setattr__

    def meet(key: str) -> tuple[str, Decoder] | None:
        name = key if key in declared and key[-1] != "_" else f"{key}_"
        if name not in declared:
            return None
        entry = table[key] = (name, _decoder(*declared[name]))
        return entry

    def decode_record(data: Any) -> Any:
        if type(data) is not dict:
            raise Mismatch("an object", data)
        values = {}
        for key, value in data.items():
            if value is None:
                continue
            known = get(key) or meet(key)
            if known is not None:
                try:
                    values[known[0]] = known[1](value)
                except Mismatch as mismatch:
                    mismatch.path.append(key)
                    raise
        for name in required:
            if name not in values:
                raise _missing(name, declared[name])
        record = new(cls)
        put(record, "__dict__", values)
        return record

    return decode_record


def _missing(name: str, declared: tuple[str, str]) -> Mismatch:
    expected = "a value"
    try:  # ask the field's own decoder what it would have taken: no JSON value is an Ellipsis
        _decoder(*declared)(...)
    except Mismatch as mismatch:
        expected = mismatch.expected
    absent = Mismatch(expected)
    absent.path.append(json_name(name))
    return absent


def _decoder(annotation: str, module: str) -> Decoder:
    key = (annotation, module)
    decoder = _DECODERS.get(key)
    if decoder is None:
        decoder = _DECODERS[key] = _make_decoder(annotation, module)
    return decoder


def _make_decoder(annotation: str, module: str) -> Decoder:
    if annotation.endswith(" | None"):  # null is handled where the property is looked up
        return _decoder(annotation[:-7], module)
    if annotation.startswith("tuple[") and annotation.endswith(", ...]"):
        return _list_decoder(_decoder(annotation[6:-6], module))
    if annotation.startswith("dict[str, ") and annotation.endswith("]"):
        return _map_decoder(_decoder(annotation[10:-1], module))
    if annotation in _RANGES:
        return _integer_decoder(*_RANGES[annotation])
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    named = getattr(sys.modules[module], annotation, None)
    if isinstance(named, OneOf):
        return _choice_decoder(named.values)
    if isinstance(named, type) and issubclass(named, Record):
        return lambda value: record_decoder(named)(value)  # late, so that records may contain themselves
    raise TypeError(f"{module}: a record can't hold {annotation!r}")


def _list_decoder(item: Decoder) -> Decoder:
    def decode_list(value: Any) -> tuple[Any, ...]:
        if type(value) is not list and type(value) is not tuple:
            raise Mismatch("a list", value)
        if item is _string and set(map(type, value)) == {str}:  # in one go: seccomp profiles list hundreds of names
            return tuple(value)
        items: list[Any] = []
        try:
            for each in value:
                items.append(item(each))  # one by one: len(items) tells which one failed
        except Mismatch as mismatch:
            mismatch.path.append(len(items))
            raise
        return tuple(items)

    return decode_list


def _map_decoder(item: Decoder) -> Decoder:
    def decode_map(value: Any) -> Mapping[str, Any]:
        if type(value) is not dict:
            raise Mismatch("an object", value)
        decoded = {}
        for key, each in value.items():
            if each is None:
                continue
            try:
                decoded[key] = item(each)
            except Mismatch as mismatch:
                mismatch.path.append(f"[{shown(key)}]")
                raise
        return decoded

    return decode_map


def _integer_decoder(low: int, high: int) -> Decoder:
    def decode_integer(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise Mismatch(f"an integer from {low} to {high}", value)
        return value

    return decode_integer


def _choice_decoder(values: tuple[str, ...]) -> Decoder:
    def decode_choice(value: Any) -> str:
        if value not in values or type(value) is not str:
            raise Mismatch(f"one of {', '.join(values)}", value)
        return value

    return decode_choice


def _string(value: Any) -> str:
    if type(value) is not str:
        raise Mismatch("a string", value)
    return value


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise Mismatch("true or false", value)
    return value


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise Mismatch("an integer", value)
    return value


def _number(value: Any) -> float:
    if type(value) is not float and type(value) is not int:
        raise Mismatch("a number", value)
    return float(value)


_SCALARS: dict[str, Decoder] = {
    "str": _string,
    "bool": _boolean,
    "int": _integer,
    "float": _number,
    "object": lambda value: value,
}

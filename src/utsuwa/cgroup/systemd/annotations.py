"""``org.systemd.property.NAME`` annotations: properties of the unit, whose values are in GVariant's text format.

    "org.systemd.property.TimeoutStopUSec": "uint64 10000000"
    "org.systemd.property.CollectMode": "'inactive-or-failed'"

A name that ends in ``Sec`` is the property with ``USec``, and its value is in seconds.
"""

from __future__ import annotations

from utsuwa import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn

    from utsuwa.cgroup.systemd.properties import Property

PREFIX = "org.systemd.property."
_SHORTEST = 3
_SECOND = 1_000_000
_DEEPEST = 32
_KEYWORDS = {
    "boolean": "b", "byte": "y", "int16": "n", "uint16": "q", "int32": "i", "uint32": "u", "int64": "x", "uint64": "t",
    "double": "d", "string": "s", "objectpath": "o", "signature": "g",
}  # fmt: skip
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def properties(annotations: Mapping[str, str] | None) -> list[Property]:
    """The properties that the annotations set. InvalidArgument names the annotation."""
    found: list[Property] = []
    for key, text in (annotations or {}).items():
        if not key.startswith(PREFIX):
            continue
        name = key[len(PREFIX) :]
        if len(name) < _SHORTEST or not (name.isascii() and name.isalpha()):
            raise errors.InvalidArgument(f'annotations["{key}"]: "{name}" can\'t be the name of a property of systemd')
        try:
            found.append(_property(name, text))
        except errors.InvalidArgument as error:
            raise error.within(f'annotations["{key}"]') from error
    return found


def _property(name: str, text: str) -> Property:
    signature, value = parse(text)
    if not name.endswith("Sec") or name.endswith("USec"):
        return name, signature, value
    if signature not in tuple("ynqiuxtd") or value < 0:
        raise errors.InvalidArgument(f"{text}: expected a number of seconds")
    return f"{name[:-3]}USec", "t", int(value * _SECOND)


def parse(text: str) -> tuple[str, Any]:
    """The D-Bus signature and the value of a text; numbers without a type are int32, as GVariant has it."""
    reader = _Reader(text)
    found = reader.value("", 0)
    if reader.peek():
        reader.fail()
    return found


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def fail(self) -> NoReturn:
        """Refuse the text."""
        raise errors.InvalidArgument(
            f"{self._text}: not a value in GVariant's text format, as 'text', true, 5 or uint64 5: look at character "
            f"{self._at + 1}"
        )

    def peek(self) -> str:
        """The next character that is no space; "" at the end."""
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1
        return self._text[self._at : self._at + 1]

    def _take(self, expected: str) -> None:
        if self.peek() != expected:
            self.fail()
        self._at += 1

    def _word(self) -> str:
        self.peek()
        start = self._at
        while self._at < len(self._text) and (self._text[self._at].isalnum() or self._text[self._at] in "+-._"):
            self._at += 1
        return self._text[start : self._at]

    def value(self, wanted: str, depth: int) -> tuple[str, Any]:
        """One value, of the type ``wanted`` where that is not ""."""
        if depth > _DEEPEST:
            self.fail()
        first = self.peek()
        if first == "@":
            self._at += 1
            return self.value(self._type(), depth + 1)
        if first in ("'", '"') and first:
            return self._known("s", "sog", wanted), self._string()
        if first == "[":
            return self._array(wanted, depth)
        if first == "(":
            return self._tuple(wanted, depth)
        if first == "<":
            return self._variant(wanted, depth)
        word = self._word()
        if word in ("true", "false"):
            return self._known("b", "b", wanted), word == "true"
        if word in _KEYWORDS:
            return self.value(self._known(_KEYWORDS[word], _KEYWORDS[word], wanted), depth + 1)
        return self._number(word, wanted)

    def _known(self, default: str, possible: str, wanted: str) -> str:
        if wanted and (wanted not in possible or len(wanted) != 1):
            self.fail()
        return wanted or default

    def _type(self) -> str:
        start = self._at
        while self._at < len(self._text) and not self._text[self._at].isspace():
            self._at += 1
        found = self._text[start : self._at]
        from utsuwa.cgroup.systemd import wire

        if len(list(wire.types(found))) != 1:
            self.fail()
        return found

    def _number(self, word: str, wanted: str) -> tuple[str, Any]:
        try:
            if wanted == "d" or (not wanted and not word.lower().startswith("0x") and set(word) & set(".eE")):
                return "d", float(word)
            digits = word.lstrip("+-")
            octal = len(digits) > 1 and digits[0] == "0" and digits.isdecimal()
            return self._known("i", "ynqiuxt", wanted), int(word, 8 if octal else 0)
        except ValueError:
            self.fail()

    def _string(self) -> str:
        quote = self._text[self._at]
        self._at += 1
        found = ""
        while (character := self._text[self._at : self._at + 1]) != quote:
            if not character:
                self.fail()
            self._at += 1
            if character == "\\":
                character = self._escape()
            found += character
        self._at += 1
        return found

    def _escape(self) -> str:
        letter = self._text[self._at : self._at + 1]
        self._at += 1
        length = {"u": 4, "U": 8}.get(letter)
        if length is None:
            return _ESCAPES.get(letter, letter)
        digits = self._text[self._at : self._at + length]
        self._at += length
        try:
            return chr(int(digits, 16))
        except (ValueError, OverflowError):
            self.fail()

    def _array(self, wanted: str, depth: int) -> tuple[str, Any]:
        if wanted and wanted[0] != "a":
            self.fail()
        element = wanted[1:]
        values: list[Any] = []
        self._take("[")
        while self.peek() != "]":
            if values:
                self._take(",")
            element, value = self.value(element, depth + 1)
            values.append(value)
        self._take("]")
        if not element:
            self.fail()  # of what, has to be said: @as []
        return f"a{element}", values

    def _tuple(self, wanted: str, depth: int) -> tuple[str, Any]:
        from utsuwa.cgroup.systemd import wire

        if wanted and wanted[0] != "(":
            self.fail()
        kinds = list(wire.types(wanted[1:-1]))
        found: list[tuple[str, Any]] = []
        self._take("(")
        while self.peek() != ")":
            if found:
                self._take(",")
                if self.peek() == ")":
                    break
            if wanted and len(found) == len(kinds):
                self.fail()
            found.append(self.value(kinds[len(found)] if wanted else "", depth + 1))
        self._take(")")
        if not found or (wanted and len(found) != len(kinds)):
            self.fail()
        return f"({''.join([kind for kind, _ in found])})", tuple([value for _, value in found])

    def _variant(self, wanted: str, depth: int) -> tuple[str, Any]:
        kind = self._known("v", "v", wanted)
        self._take("<")
        found = self.value("", depth + 1)
        self._take(">")
        return kind, found

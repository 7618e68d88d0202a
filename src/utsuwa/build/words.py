"""Words of a Dockerfile: quotes, escapes, and variables with the modifiers of a shell (BuildKit,
frontend/dockerfile/shell).

``$x ${x} ${x:-w} ${x-w} ${x:+w} ${x+w} ${x:?w} ${x?w} ${x#p} ${x##p} ${x%p} ${x%%p} ${x/p/w} ${x//p/w}``
"""

from __future__ import annotations

from utsuwa.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_BLANKS = " \t\n\v\f\r"
_SPECIAL = "@*#?-$!"
LIMIT = 4 << 20
"""Letters that the variables of a Dockerfile may have, and that they may make of one text: ten lines of
``ENV A=$A$A$A$A`` would be more than a host's memory.
"""
_TOO_LONG = f"the variables make it longer than the limit of {LIMIT} letters"
_DEPTH = 64
"""Substitutions within substitutions."""


class WrongWords(InvalidArgument):
    """Quotes or a substitution without end, or a variable that must be set."""


class Words:
    """How the words of one Dockerfile are read.

    ``raw`` keeps quotes, escapes and variables as they are, and only finds where words end; ``quotes`` False takes
    them for ordinary letters, as within a here-document.
    """

    def __init__(self, escape: str = "\\", raw: bool = False, quotes: bool = True) -> None:
        self._escape, self._raw, self._quotes = escape, raw, quotes

    def expand(self, text: str, variables: Mapping[str, str] | None = None) -> str:
        """``text`` as one word. Raises WrongWords."""
        return self._scan(text, variables or {}).text()

    def split(self, text: str, variables: Mapping[str, str] | None = None) -> list[str]:
        """The words of ``text``; a variable's value may be several. Raises WrongWords."""
        return self._scan(text, variables or {}).words()

    def _scan(self, text: str, variables: Mapping[str, str]) -> _Scan:
        if sum(map(len, variables.values())) > LIMIT:
            raise WrongWords(f"the variables are longer than the limit of {LIMIT} letters")
        scan = _Scan(text, variables, self._escape, self._raw, self._quotes)
        scan.until("")
        return scan


class _Scan:
    """One pass over a text. ``_out`` holds (letters, whether they may end a word)."""

    def __init__(self, text: str, variables: Mapping[str, str], escape: str, raw: bool, quotes: bool) -> None:
        self._text, self._at = text, 0
        self._variables, self._escape, self._raw, self._quotes = variables, escape, raw, quotes
        self._out: list[tuple[str, bool]] = []
        self._grown = self._depth = 0

    def text(self) -> str:
        """All of it."""
        return "".join([letters for letters, _ in self._out])

    def words(self) -> list[str]:
        """What blanks separate."""
        found: list[str] = []
        word: list[str] | None = None
        for letters, splits in self._out:
            if not splits:
                word = word if word is not None else []
                word.append(letters)
                continue
            for letter in letters:
                if letter not in _BLANKS:
                    word = word if word is not None else []
                    word.append(letter)
                elif word is not None:
                    found.append("".join(word))
                    word = None
        if word is not None:
            found.append("".join(word))
        return found

    def until(self, stop: str) -> None:
        """Read up to the letter ``stop``, or to the end when that is ""."""
        while self._at < len(self._text):
            letter = self._text[self._at]
            if letter == stop:
                return
            if letter == "'" and self._quotes:
                self._single()
            elif letter == '"' and self._quotes:
                self._double()
            elif letter == "$" and not self._raw:
                self._out.append((self._variable(), True))
            elif letter == self._escape:
                self._escaped(self._raw or not self._quotes)
            else:
                self._out.append((letter, True))
                self._at += 1

    def _escaped(self, keep: bool) -> None:
        following = self._text[self._at + 1 : self._at + 2]
        self._at += 2
        bare = not keep or (not self._raw and following in ("$", self._escape))
        if following:
            self._out.append((following if bare else self._escape + following, False))
        elif keep:
            self._out.append((self._escape, False))

    def _single(self) -> None:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise WrongWords("unexpected end of statement while looking for matching single-quote")
        inner = self._text[self._at + 1 : end]
        self._out.append((f"'{inner}'" if self._raw else inner, False))
        self._at = end + 1

    def _double(self) -> None:
        kept: list[str] = ['"'] if self._raw else []
        self._at += 1
        while self._at < len(self._text):
            letter = self._text[self._at]
            if letter == '"':
                self._at += 1
                self._out.append(("".join([*kept, '"'] if self._raw else kept), False))
                return
            if letter == "$" and not self._raw:
                kept.append(self._variable())
                continue
            following = self._text[self._at + 1 : self._at + 2]
            if letter == self._escape and following:
                bare = not self._raw and following in ('"', "$", self._escape)
                kept.append(following if bare else letter + following)
                self._at += 2
                continue
            kept.append(letter)
            self._at += 1
        raise WrongWords("unexpected end of statement while looking for matching double-quote")

    def _variable(self) -> str:
        value = self._value()
        self._grown += len(value)
        if self._grown > LIMIT:
            raise WrongWords(_TOO_LONG)
        return value

    def _value(self) -> str:
        """The value of what begins with the ``$`` that is next."""
        self._at += 1
        if self._text[self._at : self._at + 1] != "{":
            name = self._name()
            return self._variables.get(name, "") if name else "$"
        self._at += 1
        if self._at >= len(self._text):
            raise WrongWords("syntax error: missing '}'")
        if self._text[self._at] in "{}:":
            raise WrongWords("syntax error: bad substitution")
        name = self._name()
        following = self._next()
        if following == "}":
            return self._variables.get(name, "")
        if following in "#%/":
            return self._edited(name, following)
        colon = following == ":"
        return self._conditional(name, self._next() if colon else following, colon)

    def _next(self) -> str:
        if self._at >= len(self._text):
            raise WrongWords("syntax error: missing '}'")
        self._at += 1
        return self._text[self._at - 1]

    def _name(self) -> str:
        start = self._at
        if self._text[start : start + 1] in tuple(_SPECIAL):
            self._at += 1
        elif self._text[start : start + 1].isdigit():
            while self._text[self._at : self._at + 1].isdigit():
                self._at += 1
        else:
            while (letter := self._text[self._at : self._at + 1]) == "_" or (letter.isascii() and letter.isalnum()):
                self._at += 1
        return self._text[start : self._at]

    def _inner(self, stop: str = "}") -> str:
        """The word up to ``stop``, its variables expanded."""
        scan = _Scan(self._text, self._variables, self._escape, False, True)
        scan._at, scan._depth = self._at, self._depth + 1
        if scan._depth > _DEPTH:
            raise WrongWords(f"more than {_DEPTH} substitutions within one another")
        scan.until(stop)
        self._at = scan._at
        self._next()
        return scan.text()

    def _conditional(self, name: str, sign: str, colon: bool) -> str:
        if sign not in "-+?":
            raise WrongWords(f"unsupported modifier ({':' if colon else ''}{sign}) in substitution")
        word = self._inner()
        value = self._variables.get(name)
        given = bool(value) if colon else value is not None
        if sign == "+":
            return word if given else ""
        if not given and sign == "?":
            default = "is not allowed to be unset" if value is None else "is not allowed to be empty"
            raise WrongWords(f"{name}: {word or default}")
        return (value or "") if given else word

    def _edited(self, name: str, sign: str) -> str:
        """``#`` and ``%`` take a prefix or suffix away, the longest when doubled; ``/`` replaces, doubled
        everywhere.
        """
        doubled = self._text[self._at : self._at + 1] == sign
        self._at += doubled
        value = self._variables.get(name, "")
        if sign == "/":
            pattern, word = self._inner("/"), self._inner()
            return _replaced(value, pattern, word, doubled)
        pattern = self._inner()
        lengths = range(len(value) + 1)
        for length in reversed(lengths) if doubled else lengths:
            piece = value[:length] if sign == "#" else value[len(value) - length :]
            if matches(pattern, piece):
                return value[length:] if sign == "#" else value[: len(value) - length]
        return value


def _replaced(value: str, pattern: str, word: str, everywhere: bool) -> str:
    found, at = [], 0
    while at < len(value):
        end = next((end for end in range(len(value), at, -1) if matches(pattern, value[at:end])), 0)
        if not end:
            found.append(value[at])
            at += 1
            continue
        found.append(word)
        if len(found) * len(word) > LIMIT:
            raise WrongWords(_TOO_LONG)
        at = end
        if not everywhere:
            break
    return "".join(found) + value[at:]


def matches(pattern: str, text: str) -> bool:
    """Whether a shell pattern of ``*``, ``?`` and escapes matches all of a text; linear but for its stars."""
    at = place = 0
    star, resume = -1, 0
    while place < len(text):
        letter = pattern[at : at + 1]
        literal = pattern[at + 1 : at + 2] if letter == "\\" and at + 1 < len(pattern) else letter
        if letter == "*":
            star, resume, at = at, place, at + 1
        elif letter and (letter == "?" or literal == text[place]):
            at, place = at + (2 if literal is not letter and letter == "\\" else 1), place + 1
        elif star >= 0:
            resume += 1
            at, place = star + 1, resume
        else:
            return False
    return not pattern[at:].strip("*")

"""The text of a Dockerfile as statements: directives, comments, continued lines, flags, here-documents.

What counts as a comment, a continuation and a flag is BuildKit's (frontend/dockerfile/parser): a trailing escape
joins lines even with blanks after it, comments and empty lines inside a continuation vanish, ``--`` ends the flags.
"""

from __future__ import annotations

from utsuwa.build.fault import Fault
from utsuwa.build.words import Words, WrongWords

_BLANKS = " \t\v\f\r"
_DIRECTIVES = ("escape", "syntax", "check")
_WITH_DOCUMENTS = ("ADD", "COPY", "RUN")


class Document:
    """A here-document: ``expand`` unless its name was quoted, ``chomp`` takes leading tabs away (``<<-``)."""

    __slots__ = ("chomp", "content", "expand", "name")

    def __init__(self, name: str, expand: bool, chomp: bool) -> None:
        self.name, self.expand, self.chomp = name, expand, chomp
        self.content = ""


class Statement:
    """One instruction as it was written. ``word`` is how its keyword is spelled, ``rest`` what follows keyword and
    flags; lines count from 1. ``has_gap``: there are empty lines in it.
    """

    __slots__ = ("documents", "first", "flags", "has_gap", "keyword", "last", "rest", "word")

    def __init__(self, word: str, flags: list[str], rest: str, first: int) -> None:
        self.word, self.keyword, self.flags, self.rest = word, word.upper(), flags, rest
        self.documents: list[Document] = []
        self.has_gap = False
        self.first = self.last = first


class Source:
    """A Dockerfile that was read: its statements, and what the directives at its top say."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.directives: dict[str, str] = {}
        self.statements: list[Statement] = []

    @property
    def escape(self) -> str:
        """The character that continues lines."""
        return self.directives.get("escape", "\\")


def read(data: bytes) -> Source:
    """The statements of a Dockerfile. Raises Fault."""
    try:
        text = data.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as error:
        raise Fault("the Dockerfile is not UTF-8", data.count(b"\n", 0, error.start) + 1) from None
    source = Source(text)
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    _read_directives(source, lines)
    reader = _Reader(source, [line.removesuffix("\r") for line in lines])
    reader.read()
    if not source.statements:
        raise Fault("the Dockerfile is empty: file with no instructions")
    return source


def _read_directives(source: Source, lines: list[str]) -> None:
    for number, line in enumerate(lines, 1):
        comment = line.lstrip(_BLANKS)
        if comment[:1] != "#":
            return
        key, equals, value = comment[1:].partition("=")
        key, value = key.strip().lower(), value.strip()
        if not equals or key not in _DIRECTIVES or not value:
            return
        if key in source.directives:
            raise Fault(f"only one {key} parser directive can be used", number)
        if key == "escape" and value not in ("\\", "`"):
            raise Fault(f"invalid escape token '{value}' does not match ` or \\", number)
        source.directives[key] = value


class _Reader:
    def __init__(self, source: Source, lines: list[str]) -> None:
        self._source, self._lines, self._at = source, lines, 0
        self._has_gap = False

    def read(self) -> None:
        """Every statement there is."""
        while self._at < len(self._lines):
            first = self._at + 1
            line = self._logical_line()
            if line.strip(_BLANKS):
                statement = parse_statement(line, first)
                statement.has_gap = self._has_gap
                self._take_documents(statement)
                statement.last = self._at
                self._source.statements.append(statement)

    def _logical_line(self) -> str:
        """The next line, joined with those that continue it; "" for a comment."""
        line = self._lines[self._at].lstrip(_BLANKS)
        self._at += 1
        self._has_gap = False
        if line[:1] == "#":
            return ""
        text, continues = self._split_continuation(line)
        while continues and self._at < len(self._lines):
            line = self._lines[self._at]
            self._at += 1
            stripped = line.strip(_BLANKS)
            self._has_gap = self._has_gap or not stripped
            if stripped and stripped[0] != "#":
                more, continues = self._split_continuation(line)
                text += more
        return text

    def _split_continuation(self, line: str) -> tuple[str, bool]:
        escape = self._source.escape
        end = line.rstrip(" \t")
        if not end.endswith(escape) or (len(end) > 1 and end[-2] == "\\"):
            return line, False
        return end[:-1], True

    def _take_documents(self, statement: Statement) -> None:
        """Read the lines that belong to the here-documents which the statement names."""
        inner = statement
        if statement.keyword == "ONBUILD" and statement.rest:
            inner = parse_statement(statement.rest, statement.first)
        if inner.keyword not in _WITH_DOCUMENTS or "<<" not in inner.rest or inner.rest.startswith("["):
            return
        for document in find_documents(inner.rest, self._source.escape, statement.first):
            taken = []
            while True:
                if self._at >= len(self._lines):
                    raise Fault("unterminated heredoc", statement.first, len(self._lines))
                line = self._lines[self._at]
                self._at += 1
                plain = line.lstrip("\t") if document.chomp else line
                if plain == document.name:
                    break
                taken.append(f"{plain}\n")
            document.content = "".join(taken)
            statement.documents.append(document)


def parse_statement(line: str, first: int) -> Statement:
    """Keyword, flags and the rest of one logical line."""
    line = line.strip(_BLANKS)
    end = next((place for place, letter in enumerate(line) if letter in _BLANKS), len(line))
    flags, rest = _take_flags(line[end:].lstrip(_BLANKS))
    return Statement(line[:end], flags, rest, first)


def _take_flags(text: str) -> tuple[list[str], str]:
    """The words that begin with ``--``; quotes and escapes hold blanks in them."""
    flags: list[str] = []
    while text.startswith("--"):
        word, rest = _first_word(text)
        text = rest.lstrip(_BLANKS)
        if word == "--":
            break
        flags.append(word)
    return flags, text


def _first_word(text: str) -> tuple[str, str]:
    found, quote, place = [], "", 0
    while place < len(text):
        letter = text[place]
        if letter == "\\" and place + 1 < len(text):
            place += 1
            found.append(text[place])
        elif quote:
            if letter == quote:
                quote = ""
            else:
                found.append(letter)
        elif letter in "'\"":
            quote = letter
        elif letter in _BLANKS:
            break
        else:
            found.append(letter)
        place += 1
    return "".join(found), text[place:]


def find_documents(text: str, escape: str, line: int) -> list[Document]:
    """The here-documents that a line of a shell announces, their content not read yet."""
    try:
        raw = Words(escape, raw=True).split(text)
    except WrongWords:
        return []  # for the shell to complain about
    return [document for document in map(parse_document, raw) if document is not None]


def parse_document(word: str) -> Document | None:
    """The here-document that a word of the form ``3<<-"NAME"`` announces."""
    digits, arrows, name = word.partition("<<")
    if not arrows or (digits and not digits.isdigit()) or "<" in name:
        return None
    chomp = name.startswith("-")
    name = name.removeprefix("-")
    try:
        plain = Words("\\").split(name)
    except WrongWords:
        return None
    if len(plain) != 1 or not plain[0]:
        return None
    return Document(plain[0], expand=plain[0] == name, chomp=chomp)

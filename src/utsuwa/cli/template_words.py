"""The words of a template: text and actions apart, and the tokens of an action. Raises ValueError("line: what")."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SPACE = " \t\r\n"
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


class Word:
    """A token: ``kind`` is name, field, variable, literal or sign; ``value`` is a literal's; ``at`` its last place."""

    __slots__ = ("at", "kind", "text", "value")

    def __init__(self, kind: str, text: str, value: Any = None, at: int = 0) -> None:
        self.kind, self.text, self.value, self.at = kind, text, value, at


def actions(text: str) -> list[tuple[str, str | None]]:
    """(text, None) and ("", action) in turns, comments left out, space trimmed where ``{{-`` and ``-}}`` say so."""
    parts: list[tuple[str, str | None]] = []
    trim = False
    at = 0
    while True:
        start = text.find("{{", at)
        piece = text[at:] if start < 0 else text[at:start]
        piece = piece.lstrip(_SPACE) if trim else piece
        if start < 0:
            parts.append((piece, None))
            return parts
        end = _end(text, start + 2)
        code = text[start + 2 : end]
        trim = False
        if code[:1] == "-" and code[1:2] in (*_SPACE, ""):
            piece, code = piece.rstrip(_SPACE), code[1:]
        if code[-1:] == "-" and code[-2:-1] in (*_SPACE, ""):
            trim, code = True, code[:-1]
        parts.append((piece, None))
        if not code.strip().startswith("/*"):
            parts.append(("", code))
        at = end + 2


def _end(text: str, at: int) -> int:
    """Where the ``}}`` of the action is that begins at ``at``; those in quotes don't count."""
    quote = ""
    start = at
    while at < len(text):
        letter = text[at]
        if quote:
            if letter == "\\" and quote != "`":
                at += 1
            elif letter == quote:
                quote = ""
        elif letter in "\"'`":
            quote = letter
        elif text.startswith("}}", at):
            return at
        at += 1
    line = text.count("\n", 0, start) + 1
    raise ValueError(f"{line}: {'unterminated quoted string' if quote else 'unclosed action'}")


def words(code: str) -> list[Word]:
    """The tokens of an action."""
    found: list[Word] = []
    at = 0
    while at < len(code):
        letter = code[at]
        if letter in _SPACE:
            at += 1
        elif letter in "\"'`":
            word, at = _quoted(code, at)
            found.append(word)
        elif letter in "(),|=":
            found.append(Word("sign", letter, at=at))
            at += 1
        elif code.startswith(":=", at):
            found.append(Word("sign", ":="))
            at += 2
        else:
            word, at = _plain(code, at)
            found.append(word)
    return found


def _plain(code: str, at: int) -> tuple[Word, int]:
    """A name, a path, a variable or a number."""
    end = at
    while end < len(code) and (code[end].isalnum() or code[end] in "_.$-+"):
        end += 1
    text = code[at:end]
    if not text:
        raise ValueError(f"1: unexpected {code[at]!r} in command")
    if text[0] == ".":
        return Word("field", text, at=at), end
    if text[0] == "$":
        return Word("variable", text), end
    if text[0].isdigit() or (text[0] in "-+" and text[1:2].isdigit()):
        try:
            return Word("literal", text, float(text) if "." in text else int(text, 0)), end
        except ValueError:
            raise ValueError(f"1: bad number syntax: {text!r}") from None
    if not text.replace("_", "").isalnum():
        raise ValueError(f"1: bad character in {text!r}")
    return Word("name", text), end


def _quoted(code: str, at: int) -> tuple[Word, int]:
    quote = code[at]
    at += 1
    letters: list[str] = []
    while at < len(code) and code[at] != quote:
        if code[at] == "\\" and quote != "`":
            at += 1
            letters.append(_ESCAPES.get(code[at : at + 1], "\\" + code[at : at + 1]))
        else:
            letters.append(code[at])
        at += 1
    text = "".join(letters)
    return Word("literal", text, ord(text) if quote == "'" and len(text) == 1 else text), at + 1

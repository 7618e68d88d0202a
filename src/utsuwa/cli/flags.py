"""Docker's command lines: ``--name value``, ``--name=value``, ``-n value``, ``-nvalue``, ``-itd``, and the help they
print.

argparse would cost 7 ms, and it reads options after the image's name.
"""

from __future__ import annotations

from utsuwa.errors import InvalidArgument

SWITCH, WORD, NUMBER, LIST = "", "string", "int", "list"
"""Kinds of option: true or false; the last word given; an integer; all words given."""
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


class BadUsage(InvalidArgument):
    """The command line can't be read."""

    exit_code = 125


class Option:
    """One option: its long name, a letter or "", its kind, what it is for, and the value it has when not given."""

    __slots__ = ("default", "kind", "letter", "name", "purpose")

    def __init__(self, name: str, letter: str, kind: str, purpose: str, default: object = None) -> None:
        self.name, self.letter, self.kind, self.purpose = name, letter, kind, purpose
        self.default = (
            default if default is not None or kind not in (SWITCH, LIST) else (False if kind == SWITCH else [])
        )


class Arguments:
    """What a verb was given: ``options[name]`` for all of its options, ``words``, and which options were ``given``."""

    __slots__ = ("given", "options", "words")

    def __init__(self, options: dict[str, object], words: list[str], given: set[str]) -> None:
        self.options, self.words, self.given = options, words, given

    def text(self, name: str) -> str:
        """The value of a word option, "" when it has none."""
        return str(self.options[name] or "")

    def number(self, name: str) -> int | None:
        """The value of a number option."""
        value = self.options[name]
        return value if isinstance(value, int) else None

    def on(self, name: str) -> bool:
        """The value of a switch."""
        return bool(self.options[name])

    def list(self, name: str) -> list[str]:
        """The values of a list option."""
        value = self.options[name]
        return value if isinstance(value, list) else []


def parse(table: tuple[Option, ...], words: list[str], interspersed: bool = True) -> Arguments:
    """Read ``words``; without ``interspersed`` the first positional ends the options. Raises BadUsage."""
    parser = _Parser(table, words)
    positionals: list[str] = []
    while parser.words:
        word = parser.words.pop(0)
        if word == "--":
            positionals += parser.words
            break
        if word.startswith("--"):
            parser.long(word[2:])
        elif word.startswith("-") and len(word) > 1:
            parser.letters(word[1:])
        else:
            positionals.append(word)
            if not interspersed:
                positionals += parser.words
                break
    values = {option.name: option.default for option in table}
    return Arguments({**values, **parser.values}, positionals, set(parser.values))


class _Parser:
    def __init__(self, table: tuple[Option, ...], words: list[str]) -> None:
        self.words = list(words)
        self.values: dict[str, object] = {}
        self._names = {option.name: option for option in table}
        self._letters = {option.letter: option for option in table if option.letter}

    def long(self, text: str) -> None:
        """``name`` or ``name=value``."""
        name, equals, value = text.partition("=")
        option = self._names.get(name)
        if option is None:
            raise BadUsage(f"unknown flag: --{name}")
        if option.kind == SWITCH:
            self._set(option, value if equals else "true", f"--{name}")
        else:
            self._set(option, value if equals else self._next(f"--{name}"), f"--{name}")

    def letters(self, text: str) -> None:
        """``itd``, and a letter with a value takes the rest of the word, or the next."""
        whole = text
        while text:
            letter, text = text[0], text[1:]
            option = self._letters.get(letter)
            if option is None:
                raise BadUsage(f"unknown shorthand flag: '{letter}' in -{whole}")
            shown = f"-{letter}, --{option.name}"
            if option.kind == SWITCH and not text.startswith("="):
                self.values[option.name] = True
                continue
            value = text.removeprefix("=") if text else self._next(f"'{letter}' in -{whole}")
            self._set(option, value, shown)
            return

    def _next(self, shown: str) -> str:
        if not self.words:
            raise BadUsage(f"flag needs an argument: {shown}")
        return self.words.pop(0)

    def _set(self, option: Option, value: str, shown: str) -> None:
        wrong = f'invalid argument "{value}" for "{shown}" flag'
        if option.kind == SWITCH:
            if value not in _BOOLEANS:
                raise BadUsage(f"{wrong}: neither true nor false")
            self.values[option.name] = _BOOLEANS[value]
        elif option.kind == NUMBER:
            try:
                self.values[option.name] = int(value, 10)
            except ValueError:
                raise BadUsage(f"{wrong}: not an integer") from None
        elif option.kind == LIST:
            self.values.setdefault(option.name, []).append(value)  # type: ignore[attr-defined]
        else:
            self.values[option.name] = value


def operands(usage: str) -> str:
    """What follows the names of the verb in its usage: ``[OPTIONS] CONTAINER``."""
    words = usage.split()
    while words and words[0].islower():
        words.pop(0)
    return " ".join(words)


def describe(usage: str, purpose: str, table: tuple[Option, ...]) -> str:
    """The text of ``--help``."""
    lines = [f"Usage:  utsuwa {usage}", "", purpose]
    rows = []
    for option in sorted(table, key=lambda option: option.name):
        letter = f"-{option.letter}, " if option.letter else "    "
        rows.append((f"  {letter}--{option.name} {option.kind}".rstrip(), option.purpose))
    if rows:
        width = max(len(left) for left, _ in rows) + 3
        lines += ["", "Options:", *(f"{left:{width}}{right}" for left, right in rows)]
    return "\n".join(lines)

"""Command lines as Go programs read them: ``--option``, ``-option``, ``--option=value``, ``--option value``.

argparse costs 7 ms to import and reads single-dash long options, flags after positionals and negative values
otherwise than runc's callers write them.
"""

from __future__ import annotations

from utsuwa.errors import InvalidArgument

FLAG, VALUE, NUMBER, LIST = "", "=", "#", "*"
"""Kinds of option: a switch, one word, one integer, a word for every time that it is given."""

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")

Table = dict[str, tuple[str, str]]
_TABLES: dict[tuple[str, ...], Table] = {}
Values = dict[str, "str | int | bool | list[str]"]


def table(*options: str) -> Table:
    """Every spelling of each option -> its first name and kind.

    An option is written as ``name|alias`` and the sign of its kind: ``detach|d``, ``bundle|b=``, ``preserve-fds#``,
    ``env|e*``.
    """
    known = _TABLES.get(options)
    if known is not None:
        return known
    spellings: Table = {}
    for option in options:
        kind = option[-1] if option[-1] in "=#*" else FLAG
        names = option.rstrip("=#*").split("|")
        for name in names:
            spellings[name] = (names[0], kind)
    _TABLES[options] = spellings  # in the image of a launcher all that are needed are made already
    return spellings


def parse(spellings: Table, words: list[str], interspersed: bool) -> tuple[Values, list[str]]:
    """Options (by first name; what was not given is absent) and positionals of ``words``.

    ``interspersed``: options may follow positionals. Otherwise the first positional ends the options.
    ``--`` always does. Raises InvalidArgument.
    """
    values: Values = {}
    positionals: list[str] = []
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        if word == "--":
            return values, positionals + words[index:]
        if len(word) < 2 or word[0] != "-":
            positionals.append(word)
            if not interspersed:
                return values, positionals + words[index:]
            continue
        index = _option(spellings, values, words, index)
    return values, positionals


def _option(spellings: Table, values: Values, words: list[str], index: int) -> int:
    """Take the option at ``index - 1`` (and its value); the index behind it."""
    word = words[index - 1]
    name, equals, value = word[2 if word[1] == "-" else 1 :].partition("=")
    known = spellings.get(name)
    if known is None:
        if word[1] != "-" and _cluster(spellings, values, name):
            return index
        raise InvalidArgument(f"flag provided but not defined: -{name}")
    first, kind = known
    if kind == FLAG:
        values[first] = _switch(name, value) if equals else True
        return index
    if not equals:
        if index == len(words):
            raise InvalidArgument(f"flag needs an argument: -{name}")
        value = words[index]
        index += 1
    if kind == NUMBER:
        values[first] = _number(name, value)
    elif kind == LIST:
        given = values.setdefault(first, [])
        given.append(value)  # type: ignore[union-attr]
    else:
        values[first] = value
    return index


def _cluster(spellings: Table, values: Values, letters: str) -> bool:
    """Take ``-td`` as ``-t -d`` when all of its letters are switches, as crun does."""
    known = [spellings.get(letter) for letter in letters]
    if len(known) < 2 or any(option is None or option[1] != FLAG for option in known):
        return False
    for option in known:
        if option is not None:
            values[option[0]] = True
    return True


def _switch(name: str, value: str) -> bool:
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise InvalidArgument(f"invalid boolean value {quoted(value)} for -{name}")


def _number(name: str, value: str) -> int:
    digits = value[1:] if value[:1] in ("-", "+") else value
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        raise InvalidArgument(f"invalid value {quoted(value)} for flag -{name}: not an integer")
    return int(value)


def quoted(text: str) -> str:
    """``text`` between double quotes, with backslashes before quotes and backslashes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

"""``--chown`` and ``--chmod``: names looked up in the image's own /etc/passwd and /etc/group, modes octal or
symbolic.
"""

from __future__ import annotations

import stat

from utsuwa.build.places import read_file
from utsuwa.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.snapshot.merged import Merged

_LIMIT = 4 << 20
_ID_LIMIT = 0xFFFF_FFFE


def owner(text: str, root: Merged) -> tuple[int, int]:
    """User and group of ``user[:group]``, numbers or names; a user without group has the group of that number, or its
    own.

    Raises InvalidArgument for names that the image does not know.
    """
    user, colon, group = text.partition(":")
    uid, primary = _user(user, root) if user else (0, 0)
    if not colon or not group:
        return uid, primary
    if group.isascii() and group.isdigit():
        return uid, _number(group)
    for fields in _rows(read_file(root, "/etc/group", _LIMIT)):
        if fields[0] == group and len(fields) > 2 and fields[2].isdigit():
            return uid, _number(fields[2])
    raise InvalidArgument(
        f"unable to convert gid/group string to an id: unable to find group {group}: no matching entries"
    )


def _user(user: str, root: Merged) -> tuple[int, int]:
    if user.isascii() and user.isdigit():
        return _number(user), _number(user)
    for fields in _rows(read_file(root, "/etc/passwd", _LIMIT)):
        if fields[0] == user and len(fields) > 3 and fields[2].isdigit() and fields[3].isdigit():
            return _number(fields[2]), _number(fields[3])
    raise InvalidArgument(
        f"unable to convert uid/user string to an id: unable to find user {user}: no matching entries"
    )


def _number(digits: str) -> int:
    if len(digits) > 10 or int(digits) > _ID_LIMIT:
        raise InvalidArgument(f"{digits[:20]} is not the number of a user or group")
    return int(digits)


def _rows(data: bytes) -> list[list[str]]:
    return [line.split(":") for line in data.decode("utf-8", "surrogateescape").splitlines()]


def mode(text: str) -> Callable[[int], int]:
    """What makes the permissions of a mode by ``755`` or ``u+x,go-w``. Raises InvalidArgument."""
    if text and len(text) <= 5 and all(digit in "01234567" for digit in text):
        number = int(text, 8)
        if number <= 0o7777:
            return lambda _mode: number
    clauses = [_clause(part, text) for part in text.split(",")]

    def change(before: int) -> int:
        after = stat.S_IMODE(before)
        for clause in clauses:
            after = clause(after, stat.S_ISDIR(before))
        return after

    return change


_SHIFTS = {"u": 6, "g": 3, "o": 0}


def _clause(text: str, whole: str) -> Callable[[int, bool], int]:
    """One of ``[ugoa]*[-+=][rwxXst]*``, chmod(1)."""
    place = next((place for place, sign in enumerate(text) if sign in "+-="), -1)
    who, sign, letters = text[:place], text[place : place + 1], text[place + 1 :]
    if place < 0 or set(who) - set("ugoa") or set(letters) - set("rwxXst"):
        raise InvalidArgument(f"invalid chmod parameter: '{whole}'. it should be octal string and between 0 and 07777")
    classes = "ugo" if not who or "a" in who else who

    def change(before: int, is_directory: bool) -> int:
        bits = mask = 0
        for each in classes:
            shift = _SHIFTS[each]
            mask |= 0o7 << shift
            execute = "x" in letters or ("X" in letters and (is_directory or before & 0o111))
            bits |= (4 * ("r" in letters) + 2 * ("w" in letters) + bool(execute)) << shift
        if "s" in letters:
            bits |= 0o4000 * ("u" in classes) + 0o2000 * ("g" in classes)
        if "t" in letters:
            bits |= 0o1000
        if sign == "+":
            return before | bits
        return before & ~bits if sign == "-" else (before & ~mask) | bits

    return change

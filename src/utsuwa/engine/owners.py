"""The numbers of a container's user, from the account files that the container has now."""

from __future__ import annotations

import os
import stat

from utsuwa.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.inside import Inside

_FILE_LIMIT = 1 << 20


def owner(place: Inside, user: str) -> tuple[int, int]:
    """uid and gid of ``name|uid[:group|gid]``; "" is root. Raises NotFound for a name that is in no file."""
    name, _, group = user.partition(":")
    uid, gid = (int(name), 0) if name.isdecimal() else (0, 0)
    for fields in _lines(place, b"/etc/passwd", 4) if name else ():
        if name == fields[0] or (name.isdecimal() and name == fields[2]):
            uid, gid = int(fields[2]), int(fields[3])
            break
    else:
        if name and not name.isdecimal():
            raise NotFound(f"unable to find user {name}: no matching entries in passwd file")
    if not group:
        return uid, gid
    if group.isdecimal():
        return uid, int(group)
    for fields in _lines(place, b"/etc/group", 3):
        if fields[0] == group:
            return uid, int(fields[2])
    raise NotFound(f"unable to find group {group}: no matching entries in group file")


def _lines(place: Inside, path: bytes, fields: int) -> list[list[str]]:
    """The lines of an account file that have so many fields, the numbers among them being numbers."""
    try:
        fd = place.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return []
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return []
        text = os.read(fd, _FILE_LIMIT).decode("utf-8", "replace")
    finally:
        os.close(fd)
    found = [line.split(":") for line in text.splitlines()]
    return [line for line in found if len(line) >= fields and all(_is_id(each) for each in line[2:fields])]


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10

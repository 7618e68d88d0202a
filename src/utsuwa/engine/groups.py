"""``--group-add``: groups by number, or by the name that they have in the image's own /etc/group."""

from __future__ import annotations

from utsuwa.engine.copyup import read_file
from utsuwa.errors import InvalidArgument, NotFound

_FILE_LIMIT = 1 << 20
_ID_LIMIT = 0x7FFF_FFFF


def resolve_groups(groups: tuple[str, ...], trees: list[str]) -> tuple[int, ...]:
    """The numbers; ``trees`` are the image's layers, top first. Raises NotFound for an unknown name."""
    known: dict[str, int] | None = None
    numbers = []
    for group in groups:
        if group.isascii() and group.isdigit():
            if len(group) > len(str(_ID_LIMIT)) or int(group) > _ID_LIMIT:
                raise InvalidArgument(f"group {group[:20]} is not from 0 to {_ID_LIMIT}")
            number = int(group)
        else:
            known = _parse(read_file(trees, "/etc/group", _FILE_LIMIT)) if known is None else known
            if group not in known:
                raise NotFound(f"Unable to find group {group}: no matching entries in group file")
            number = known[group]
        numbers.append(number)
    return tuple(numbers)


def read_table(trees: list[str], path: str) -> list[list[str]]:
    """The lines of the image's /etc/passwd or /etc/group, split at their colons."""
    text = read_file(trees, path, _FILE_LIMIT).decode("utf-8", "replace")
    return [line.split(":") for line in text.splitlines()]


def _parse(data: bytes) -> dict[str, int]:
    """Names and numbers of a group(5) file, the first of a name; lines that are none are passed over."""
    found: dict[str, int] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        fields = line.split(":")
        if len(fields) >= 3 and fields[2].isascii() and fields[2].isdigit() and len(fields[2]) <= 10:
            found.setdefault(fields[0], min(int(fields[2]), _ID_LIMIT))
    return found

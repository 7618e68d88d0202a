"""`urun list`: the containers of a root."""

from __future__ import annotations

import os

from utsuwa.errors import Error
from utsuwa.runtime.record import Store
from utsuwa.runtime.state import describe


def containers(store: Store) -> tuple[list[dict[str, object]], list[str]]:
    """State documents with their owner, in order of the ids; and a message for each that can't be read."""
    found: list[dict[str, object]] = []
    problems: list[str] = []
    for name in store.names():
        try:
            described = describe(store.open(name))
            described["owner"] = _owner(f"{store.root}/{name}")
        except (Error, OSError) as error:
            problems.append(f"load container {name}: {error}")
            continue
        found.append(described)
    return found, problems


def _owner(path: str) -> str:
    """The name of the user who owns a container's directory, ``#uid`` for one without a name."""
    uid = os.stat(path).st_uid
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def columns(containers: list[dict[str, object]]) -> str:
    """The containers in columns of at least 12 characters, 3 apart, as Go's tabwriter sets them for runc."""
    names = ("id", "pid", "status", "bundle", "created", "owner")
    rows = [tuple(name.upper() for name in names)]
    rows += [tuple(str(container[name]) for name in names) for container in containers]
    widths = [max(12, max(len(row[column]) for row in rows) + 3) for column in range(len(names) - 1)]
    return "".join(
        "".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)) + "\n" for row in rows
    )

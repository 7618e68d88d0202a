"""Another name for a container, whatever it is doing; and what is left when somebody is killed half-way."""

from __future__ import annotations

import os
from contextlib import suppress

from utsuwa.engine import connecting, events
from utsuwa.engine.metadata import ContainerRecord, Metadata
from utsuwa.errors import InvalidArgument, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.paths import Paths


def rename(paths: Paths, record: ContainerRecord, name: str) -> ContainerRecord:
    """Give the container ``name``. Raises Conflict when it is taken, InvalidArgument when it is none, or its own.

    The new name is taken first, the old one let go last: at every moment one of them leads to the container.
    """
    name = name.removeprefix("/")
    if not name:
        raise InvalidArgument("Neither old nor new names may be empty")
    metadata = Metadata(paths)
    old = ""

    def alter(found: ContainerRecord) -> ContainerRecord:
        nonlocal old
        old = found.name
        if old == name:
            raise InvalidArgument("Renaming a container with the same name as its current name")
        metadata.claim(name, found.id)
        return found.replace(name=name)

    renamed = metadata.change(record.id, alter)
    with suppress(FileNotFoundError):  # somebody who swept has seen two names
        os.unlink(f"{paths.names}/{old}")
    connecting.renamed(paths, record.id, old, name)
    events.note(paths, renamed, "rename", oldName=f"/{old}")
    return renamed


def repair(paths: Paths, names: dict[str, list[str]]) -> None:
    """Let go of the names that killed renamers left. ``names``: container id -> its names, as they are on the disk."""
    metadata = Metadata(paths)
    for identifier, owned in names.items():
        if len(owned) < 2:
            continue

        def alter(found: ContainerRecord, owned: list[str] = owned) -> ContainerRecord:
            if found.name in owned:
                for name in owned:
                    if name != found.name:
                        os.unlink(f"{paths.names}/{name}")
            return found

        try:
            metadata.change(identifier, alter)
        except (NotFound, FileNotFoundError):  # it is gone, or somebody else was faster
            continue

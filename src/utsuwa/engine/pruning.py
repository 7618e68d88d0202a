"""Removing the containers that don't run."""

from __future__ import annotations

from utsuwa.errors import Conflict, FailedPrecondition, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.engine.containers import Containers
    from utsuwa.engine.images import Images
    from utsuwa.engine.metadata import ContainerRecord


def prune(
    containers: Containers, images: Images, wanted: Callable[[ContainerRecord], bool] = lambda record: True
) -> tuple[list[str], int]:
    """Remove those that were created or have ended; the ids removed, and the bytes on disk that their trees took.

    One that somebody starts meanwhile is left alone, and so are anonymous volumes.
    """
    removed, freed = [], 0
    for record, status in containers.list(everything=True):
        if status.alive or status.kept or not wanted(record):
            continue
        try:
            size = images.snapshotter.usage(record.id)
            containers.remove(record)
        except (Conflict, FailedPrecondition, NotFound):  # started, or removed by somebody else
            continue
        removed.append(record.id)
        freed += size
    images.note_pruned("container", freed)
    return removed, freed

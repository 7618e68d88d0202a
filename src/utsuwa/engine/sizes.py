"""How much disk a container takes: what it wrote, and that together with its image."""

from __future__ import annotations

import stat

from utsuwa.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.images import Images
    from utsuwa.engine.metadata import ContainerRecord


def sizes(images: Images, record: ContainerRecord) -> tuple[int, int]:
    """Bytes of the files in its writable layer, and of all files that it sees, volumes not counted."""
    own = written(images, record)
    try:
        return own, own + images.resolve(record.imageId).size
    except NotFound:  # removed by force
        return own, own


def written(images: Images, record: ContainerRecord) -> int:
    """Bytes of the files in a container's writable layer."""
    from utsuwa.snapshot.measure import attributes

    try:
        found = attributes(images.snapshotter.upper(record.id))
    except NotFound:  # it has just been removed
        return 0
    return sum(state.st_size for state in found if not stat.S_ISDIR(state.st_mode))

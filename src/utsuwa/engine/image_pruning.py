"""Removing the images that nothing needs."""

from __future__ import annotations

from utsuwa.errors import Conflict, NotFound
from utsuwa.image.remove import remove

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.engine.containers import Containers
    from utsuwa.engine.images import Images
    from utsuwa.image.store import Image, ImageStore


def dangling_ids(store: ImageStore) -> set[str]:
    """The images that have no name and no child."""
    images = store.list()
    parents = {image.record.parent for image in images}
    return {image.id for image in images if not (image.names or image.digests) and image.id not in parents}


def prune(
    images: Images, containers: Containers, wanted: Callable[[Image], bool], *, everything: bool = False
) -> tuple[list[str], list[str], int]:
    """Remove images without a name, or all (``everything``), unless a container has them.

    Returns the names taken, the IDs of images and layers removed, and the bytes that this freed on disk.
    """
    store = images.store
    before = stored_bytes(store)
    untagged: list[str] = []
    deleted: list[str] = []
    while True:
        uses, dangling = images.uses(containers), dangling_ids(store)
        candidates = [image for image in store.list() if everything or image.id in dangling]
        doomed = [image for image in candidates if image.id not in uses and wanted(image)]
        count = len(deleted)
        for image in doomed:
            try:
                removal = remove(store, image.id, uses, force=True)
            except (Conflict, NotFound):  # it has children, or somebody was faster
                continue
            untagged += removal.untagged
            deleted += removal.deleted
        if len(deleted) == count:
            break
    deleted += store.collect()
    freed = max(0, before - stored_bytes(store))
    images.note_pruned("image", freed)
    return untagged, deleted, freed


def stored_bytes(store: ImageStore) -> int:
    """What blobs and layers take, each once."""
    layers = store.snapshotter.layers
    total = sum(size for _, size in store.content.walk())
    for name in list(layers.walk()):
        try:
            total += layers.get(name).size
        except NotFound:
            continue
    return total

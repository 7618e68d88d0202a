"""How much disk a container takes: what it wrote, and that together with its image."""

from __future__ import annotations

import os

from utsuwa.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.images import Images
    from utsuwa.engine.metadata import ContainerRecord


def sizes(images: Images, record: ContainerRecord) -> tuple[int, int]:
    """Bytes of the files in its writable layer, and of all files that it sees, volumes not counted."""
    written = _files(images.snapshotter.upper(record.id))
    try:
        return written, written + images.resolve(record.imageId).size
    except NotFound:  # removed by force
        return written, written


def _files(directory: str) -> int:
    """Bytes of what is no directory, hard links once; no link is followed, and what vanishes meanwhile is left out."""
    total, seen, waiting = 0, set(), [directory]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                        continue
                    state = entry.stat(follow_symlinks=False)
                    if state.st_ino not in seen:
                        seen.add(state.st_ino)
                        total += state.st_size
        except FileNotFoundError:
            continue
    return total

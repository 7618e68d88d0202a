"""An image of one layer from any archive of a file system (docker import)."""

from __future__ import annotations

import os

from utsuwa.image import changes
from utsuwa.image.make import derive
from utsuwa.snapshot.compression import decompressed
from utsuwa.spec import platform as platforms
from utsuwa.spec.image import History, ImageConfig, RootFS, Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from utsuwa.image.store import Image, ImageStore
    from utsuwa.spec.platform import Platform
    from utsuwa.spec.reference import Reference


def import_archive(
    store: ImageStore,
    read: Callable[[int], bytes],
    created: str,
    name: Reference | None = None,
    message: str = "",
    instructions: Sequence[str] = (),
    platform: Platform | None = None,
) -> Image:
    """Make an image of the tar archive (compressed or not) that ``read(count)`` delivers, b"" at its end.

    ``created`` is RFC 3339; ``instructions`` as for commit. Raises InvalidArgument for what is no archive.
    """
    settings = changes.apply(Settings(), instructions)
    target = platform or platforms.host().replace(variant="")
    config = ImageConfig(
        architecture=target.architecture,
        os=target.os,
        variant=target.variant or None,
        created=created,
        config=settings,
        rootfs=RootFS(type="layers", diff_ids=()),
    )
    entry = History(created=created, comment=message or None)
    return derive(store, None, decompressed(read, whole=True), config, entry, [name] if name else [])


def reader(fd: int) -> Callable[[int], bytes]:
    """``read`` for an open file or pipe."""
    return lambda count: os.read(fd, count)

"""Everything about an image as one document, in the shape of Docker's ``GET /images/{name}/json``."""

from __future__ import annotations

import time

from utsuwa.spec.codec import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.images import Images
    from utsuwa.image.store import Image

_NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time."""


def document(images: Images, image: Image) -> dict[str, object]:
    """The document of an image."""
    config = image.config
    history = config.history or ()
    tagged = images.store.tagged_at(image.id)
    found: dict[str, object] = {
        "Id": image.id,
        "RepoTags": list(image.names),
        "RepoDigests": list(image.digests),
        "Parent": image.record.parent,
        "Comment": (history[-1].comment or "") if history else "",
        "Created": config.created or _NEVER,
        "DockerVersion": "",
        "Author": config.author or "",
        "Architecture": config.architecture,
        **({"Variant": config.variant} if config.variant else {}),
        "Os": config.os,
        "Size": image.size,
        "GraphDriver": {"Name": _driver(images), "Data": {"Layers": ":".join(images.trees(image))}},
        "RootFS": {"Type": "layers", "Layers": list(config.rootfs.diff_ids)},
        "Metadata": {"LastTagTime": _text(tagged) if tagged else _NEVER},
        "Config": encode(config.settings),
    }
    return found


def _driver(images: Images) -> str:
    return "copy" if images.store.snapshotter.complete else "overlay2"


def _text(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment % 1 * 1e9):09d}Z"

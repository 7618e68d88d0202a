"""``--metadata-file``: what a program wants to know of the image that it had built."""

from __future__ import annotations

from utsuwa.spec import codec, image, reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from utsuwa.image.store import Image, ImageStore


def metadata(store: ImageStore, found: Image, names: Sequence[str]) -> str:
    """The JSON that buildx writes: digests of configuration and manifest, and the image's names."""
    content = found.manifest
    described = {
        "mediaType": content.mediaType or image.OCI_MANIFEST,
        "digest": found.record.manifest,
        "size": store.content.size(found.record.manifest),
        "annotations": content.annotations or None,
        "platform": found.config.platform,
    }
    told: dict[str, object] = {
        "containerimage.config.digest": found.id,
        "containerimage.descriptor": {key: value for key, value in described.items() if value is not None},
        "containerimage.digest": found.record.manifest,
    }
    if names:
        told["image.name"] = ",".join(str(reference.parse(name).tagged()) for name in names)
    return codec.dumps(told) + "\n"

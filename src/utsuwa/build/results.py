"""``--metadata-file``: what a program wants to know of the image that it had built."""

from __future__ import annotations

from utsuwa.image.family import index_of, members
from utsuwa.spec import codec, image, reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from utsuwa.image.store import Image, ImageStore


def metadata(store: ImageStore, found: Image, names: Sequence[str]) -> str:
    """The JSON that buildx writes: digests of configuration and manifest, and the image's names."""
    family = members(store, names[0]) if names else [found]
    if len(family) > 1:
        index = index_of(store, reference.parse(names[0]).tagged(), family)
        shown = {"mediaType": index.mediaType, "digest": index.digest, "size": index.size}
        several: dict[str, object] = {"containerimage.descriptor": shown, "containerimage.digest": index.digest}
        return codec.dumps({**several, "image.name": _written(names)}) + "\n"
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
        told["image.name"] = _written(names)
    return codec.dumps(told) + "\n"


def _written(names: Sequence[str]) -> str:
    return ",".join(str(reference.parse(name).tagged()) for name in names)

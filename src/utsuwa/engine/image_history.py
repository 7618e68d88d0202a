"""How images were made: the steps that their configurations tell of, with the sizes of layers."""

from __future__ import annotations

from utsuwa.errors import NotFound
from utsuwa.image.install import timestamp
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.image.store import Image, ImageStore

MISSING = "<missing>"


class Step(Record):
    """One step. ``image`` is the ID of what it made, if that is here; ``created`` in Unix seconds, 0 for unknown;
    ``size`` in bytes.
    """

    image: str
    created: int
    created_by: str
    size: int
    comment: str
    tags: tuple[str, ...] = ()


def history(store: ImageStore, image: Image) -> list[Step]:
    """The steps, the last one first. What a configuration says of more layers than there are is left out."""
    chain = list(image.chain)
    steps = []
    for entry in image.config.history or ():
        bytes_ = 0
        if not entry.empty_layer and chain:
            bytes_ = store.snapshotter.layers.get(chain.pop(0)).size
        steps.append(
            Step(
                image=MISSING,
                created=timestamp(entry.created or ""),
                created_by=entry.created_by or "",
                size=bytes_,
                comment=entry.comment or "",
            )
        )
    steps.reverse()
    return _with_images(store, image, steps)


def _with_images(store: ImageStore, image: Image | None, steps: list[Step]) -> list[Step]:
    """The image itself made the last step; its parent, where it is here, the one before."""
    named = []
    for step in steps:
        if image is not None:
            step = step.replace(image=image.id, tags=image.names)
            image = _parent(store, image)
        named.append(step)
    return named


def _parent(store: ImageStore, image: Image) -> Image | None:
    if not image.record.parent:
        return None
    try:
        return store.resolve(image.record.parent)
    except NotFound:
        return None

"""Names that users give to images."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument
from utsuwa.spec import reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.spec.reference import Reference


def new_name(text: str) -> Reference:
    """A name for an image, with the tag ``latest`` when it has none. Raises InvalidArgument for one with a digest."""
    name = reference.parse(text)
    if name.digest:
        raise InvalidArgument("refusing to create a tag with a digest reference")
    return name.tagged()

"""Names that users, and archives, give to images."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument
from utsuwa.spec import reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from utsuwa.spec.reference import Reference


def new_name(text: str) -> Reference:
    """A name for an image, with the tag ``latest`` when it has none. Raises InvalidArgument for one with a digest."""
    name = reference.parse(text)
    if name.digest:
        raise InvalidArgument("refusing to create a tag with a digest reference")
    return name.tagged()


def brought_names(texts: Iterable[str]) -> tuple[Reference, ...]:
    """The names that an archive gives an image: tags only. What is known by a digest was checked against it, and an
    archive can say what it likes. Raises InvalidArgument for what is no name.
    """
    parsed = [reference.parse(text) for text in texts]
    tags = (name.tagged() if not name.digest else name.replace(digest=None) for name in parsed)
    return tuple(dict.fromkeys(name for name in tags if name.tag))

"""``--build-context name=…``: further trees and images, which go before stages and images of that name."""

from __future__ import annotations

import os

from utsuwa.build import fetching, git
from utsuwa.build.context import unpacked
from utsuwa.build.patterns import read_ignore_file
from utsuwa.build.places import read_file
from utsuwa.build.request import normal
from utsuwa.errors import InvalidArgument, NotFound
from utsuwa.snapshot.merged import Merged
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_IMAGE, _LAYOUT = "docker-image://", "oci-layout://"
_LIMIT = 16 << 20


class NamedContext(Record):
    """One of: a ``directory`` (without what ``ignored`` matches), an ``image`` by its name, or a ``layout`` on the disk
    of which ``image`` is meant ("" for its only one).
    """

    directory: str = ""
    ignored: tuple[str, ...] = ()
    image: str = ""
    layout: str = ""


def parse(texts: list[str], scratch: Callable[[], str], access: git.Access) -> dict[str, NamedContext]:
    """The contexts by name; those on a network are fetched. ``scratch`` makes directories. Raises InvalidArgument,
    NotFound, and what fetching raises.
    """
    found = {}
    for text in texts:
        name, equals, where = text.partition("=")
        if not equals or not name or not where:
            raise InvalidArgument(f"invalid context value: {text}, expected name=location")
        found[normal(name)] = _context(name, where, scratch, access)
    return found


def _context(name: str, where: str, scratch: Callable[[], str], access: git.Access) -> NamedContext:
    if where.startswith(_IMAGE):
        return NamedContext(image=where.removeprefix(_IMAGE))
    if where.startswith(_LAYOUT):
        return _of_layout(where.removeprefix(_LAYOUT))
    repository = git.parse(where)
    if repository and not os.path.isdir(where):
        directory = git.Repository(repository, access).check_out_part(scratch())
        return NamedContext(directory=directory, ignored=("**/.git",))
    if fetching.is_url(where):
        return NamedContext(directory=unpacked(where, scratch))
    if not os.path.isdir(where):
        raise NotFound(f"failed to get build context {name}: stat {where}: no such directory")
    directory = os.path.realpath(where)
    with Merged.of([directory]) as root:
        return NamedContext(
            directory=directory, ignored=tuple(read_ignore_file(read_file(root, ".dockerignore", _LIMIT)))
        )


def _of_layout(where: str) -> NamedContext:
    """``PATH``, ``PATH:TAG`` or ``PATH@DIGEST``."""
    for mark in ("@", ":"):
        path, found, rest = where.rpartition(mark)
        if found and os.path.exists(path):
            return NamedContext(layout=path, image=rest)
    if not os.path.exists(where):
        raise NotFound(f"no OCI layout at {where}")
    return NamedContext(layout=where)

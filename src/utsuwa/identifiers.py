"""What containers are called: ids of the OCI runtime, ids and names of the engine, and what a reference means."""

from __future__ import annotations

import posix

from utsuwa.errors import InvalidArgument, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_ID_CHARACTERS = frozenset(_LETTERS + "_+.-")
_NAME_CHARACTERS = frozenset(_LETTERS + "_.-")
_HEXADECIMAL = frozenset("0123456789abcdef")

SHORT = 12
"""Characters of an engine id that people are shown."""


def check_container_id(text: str) -> str:
    """Return ``text`` when it can be the id of an OCI container, which is a directory name; else raise InvalidArgument.

    Allowed are 1 to 1024 of the characters ``A-Za-z0-9_+.-``, but neither ``.`` nor ``..`` (runc's rule).
    """
    if not text:
        raise InvalidArgument("container id must not be empty")
    if len(text) > 1024:
        raise InvalidArgument(f"container id {text[:32]!r}… is longer than 1024 characters")
    if text in (".", "..") or not _ID_CHARACTERS.issuperset(text):
        raise InvalidArgument(
            f"container id {text!r} has an invalid character or form, use A-Z a-z 0-9 _ + . - and not . or .. alone"
        )
    return text


def new_engine_id() -> str:
    """A fresh engine id: 64 hexadecimal digits, the first 12 never all decimal (tools take such an id for a number)."""
    while True:
        text = posix.urandom(32).hex()
        if not text[:SHORT].isdigit():
            return text


def is_engine_id(text: str) -> bool:
    """Whether ``text`` is a full engine id: 64 lower-case hexadecimal digits."""
    return len(text) == 64 and _HEXADECIMAL.issuperset(text)


def short(engine_id: str) -> str:
    """The first 12 digits of an engine id, as lists show it."""
    return engine_id[:SHORT]


def check_name(text: str, noun: str = "container") -> str:
    """Return ``text`` without Docker's leading slash when it can name something; else raise InvalidArgument.

    Allowed are two or more of ``A-Za-z0-9_.-``, the first a letter or a digit (Docker's rule).
    """
    name = text.removeprefix("/")
    if len(name) < 2 or name[0] not in _LETTERS or not _NAME_CHARACTERS.issuperset(name):
        raise InvalidArgument(
            f"{noun} name {text!r} is invalid, use two or more of A-Z a-z 0-9 _ . - and begin with a letter or digit"
        )
    return name


def find(reference: str, ids: Iterable[str], names: Mapping[str, str] | None = None, noun: str = "container") -> str:
    """The id that a user's reference means: a full id, else a name (of ``names``: name -> id), else a prefix of one id.

    Raises NotFound when it means none, InvalidArgument when a prefix fits several.
    """
    known = tuple(ids)
    if reference in known:
        return reference
    named = (names or {}).get(reference.removeprefix("/"))
    if named is not None:
        return named
    fitting = [each for each in known if each.startswith(reference)] if reference else []
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise InvalidArgument(f"{noun} {reference!r} is ambiguous, {len(fitting)} ids begin with it; give more digits")
    raise NotFound(f"{noun} {reference!r} does not exist")


_ADJECTIVES = """
    able airy amber ample ancient autumn balanced bold bright brisk calm candid ceramic clear copper cosy crisp curved
    dappled deep dewy earthen easy even fair faithful fine fired floral fluted gentle gilded glazed golden graceful
    handy hollow honest humble indigo jade kindly lacquered light lively lunar mellow mossy noble open patient plain
    polished quiet round rustic sandy serene silver slender smooth speckled sturdy supple tidy upright velvet vivid
    warm woven
"""

_NOUNS = """
    alembic amphora bamboo barrel basin basket beaker bisque bottle bowl bucket canister carafe cask cauldron celadon
    chalice chest cistern clay coffer crock crucible cruet cup cypress decanter dish ewer flagon flask font goblet gourd
    hamper hearth jar jug kettle kiln krater ladle lekythos mug oribe pail paulownia pitcher pithos platter porcelain
    pottery pouch raku satchel saucer slip stein stoneware tankard teapot tray trunk tub tumbler tureen urn vase vat
    vessel
"""


def random_name(is_taken: Callable[[str], bool] = lambda name: False) -> str:
    """A pleasant name as ``quiet_teapot`` that ``is_taken`` denies; numbers follow once plain ones are hard to find."""
    adjectives, nouns = _ADJECTIVES.split(), _NOUNS.split()
    attempt = 0
    while True:
        random = int.from_bytes(posix.urandom(8), "little")
        name = f"{adjectives[random % len(adjectives)]}_{nouns[(random >> 32) % len(nouns)]}"
        if attempt >= 8:
            name = f"{name}{(random >> 16) % 10 ** (attempt // 8)}"
        if not is_taken(name):
            return name
        attempt += 1

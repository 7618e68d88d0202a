"""Drafts kept for the next container of the same shape: one that differs by its name only.

What a draft says of its container's name it says in letters of the same number, so the next container's draft is the
same bytes with another name in them. That this is so is not believed but tried, with a name that is made up, before a
draft is kept; and only a shape that comes a second time is.

What is kept outlives the container, so there are no secrets in it: arguments, environment and annotations are taken
out like the name, and the next container brings its own.
"""

from __future__ import annotations

import os
from _blake2 import blake2b
from marshal import dumps, loads

from utsuwa.errors import Error
from utsuwa.init.encode import texts
from utsuwa.linux.cache import Cache
from utsuwa.linux.host import boot
from utsuwa.runtime.bundle import Bundle
from utsuwa.runtime.draft import FIELDS, Draft
from utsuwa.spec.codec import value_at
from utsuwa.spec.mount import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.linux.host import Host
    from utsuwa.runtime.draft import CreateRequest

_EPOCH = os.urandom(16)
"""Of this program, when its memory comes from an image, else of this process: others may be of another version."""
_LARGEST = 1 << 18
_SHORTEST_NAME = 4
_NOWHERE = -2
_SEEN, _UNFIT = b"", b"-"
"""Entries of a shape that has come once; of one whose draft depends on the name by more than its letters."""


class Kept:
    """The place of a container's shape among what is kept."""

    def __init__(self, directory: str, request: CreateRequest, bundle: Bundle) -> None:
        self._directory, self._request, self._bundle = directory, request, bundle
        self._names = _names(request.id)
        asked = request.replace(id="", bundle="", console=min(request.console, 0), pid_file="", pidfd_socket="")
        about = f"{len(request.id)}{asked}{bundle.path!r}\n".encode("utf-8", "surrogateescape")
        nameless = dumps(_cut(about + bundle.config, self._names), FIELDS)
        # A boot, because the kernel's security modules, which labels depend on, are no facts of the host.
        self._entry = blake2b(_EPOCH + boot() + nameless, digest_size=32).hexdigest()
        self._body = self._read()

    @property
    def found(self) -> bool:
        """There is a draft; whether it fits the host as it is now has not been looked at."""
        return self._body is not None and self._body not in (_SEEN, _UNFIT)

    def recall(self, host: Host) -> Draft | None:
        """The draft, with this container's name in it; None when there is none, or it was made for another host."""
        if not self.found:
            return None
        facts, spots, pieces = loads(self._body or b"")
        if facts != repr(host):
            return None
        text = self._bundle.config.decode()
        packed = _whole(pieces, _private(value_at(text, spots[0]), self._names))
        annotations = value_at(text, spots[1]) if spots[1] >= 0 else None
        return Draft.unpacked(packed, annotations, self._request, self._bundle, host)

    def keep(self, draft: Draft, host: Host, filters: str) -> None:
        """Take note of a start for the next one. It costs as much as making the draft did, when it is kept."""
        if draft.recalled or not draft.settled or len(self._names[0]) < _SHORTEST_NAME or self._body == _UNFIT:
            return
        if draft.document.intelRdt is not None:  # which depends on what there is in resctrl at the moment
            return
        if self._body is None:
            self._write(_SEEN)
            return
        spots = _spots(self._bundle)
        pieces = _cut(draft.packed(), _private(_process(self._bundle), self._names))
        if spots and pieces == self._pieces_of_another(host, filters):
            self._write(dumps((repr(host), spots, pieces), FIELDS))
        else:
            self._write(_UNFIT)

    def _pieces_of_another(self, host: Host, filters: str) -> list[bytes | int]:
        """What the draft is for a container of a name that nobody has."""
        length = len(self._request.id)
        another = os.urandom(length).hex()[:length]
        names = _names(another)
        request, bundle = self._request, self._bundle

        def renamed(text: bytes) -> bytes:
            return _whole(_cut(text, self._names), names)

        def renamed_text(text: str) -> str:
            return os.fsdecode(renamed(os.fsencode(text)))

        twin = Bundle(renamed_text(bundle.path), renamed(bundle.config), rootfs=renamed_text(bundle.rootfs))
        mounts = [
            Mount(
                type=mount.type,
                source=renamed_text(mount.source),
                target=renamed_text(mount.target),
                options=tuple(map(renamed_text, mount.options)),
            )
            for mount in request.root_mounts
        ]
        request = request.replace(id=another, bundle=twin.path, root_mounts=tuple(mounts))
        try:
            draft = Draft.make(request, twin, host)
            draft.settle(filters)
            return _cut(draft.packed(), _private(_process(twin), names)) if draft.settled else []
        except Error:
            return []

    def _read(self) -> bytes | None:
        try:
            cache = Cache(self._directory)
        except OSError:  # read-only, or no parent: it saves time, and is not needed
            return None
        try:
            return cache.read(self._entry, _LARGEST)
        finally:
            cache.close()

    def _write(self, body: bytes) -> None:
        try:
            cache = Cache(self._directory)
        except OSError:
            return
        try:
            cache.write(self._entry, body)
        finally:
            cache.close()


def _names(identifier: str) -> tuple[bytes, ...]:
    """The letters that stand for a container: its id, and the beginning of it that people see."""
    name = identifier.encode()
    return name, name[:12]


def _process(bundle: Bundle) -> dict[str, Any]:
    return bundle.document["process"]  # type: ignore[index,no-any-return]


def _private(process: dict[str, Any], names: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """All that is taken out of a plan: arguments and environment as it has them, then the names."""
    return (*[texts(words) for words in (process.get("args"), process.get("env")) if words], *names)


def _spots(bundle: Bundle) -> tuple[int, ...]:
    """Where the process and the annotations are in the text of this shape's configurations, -1 for none: to read them
    there costs a tenth of reading everything. () when they can't be read there.
    """
    text, document = bundle.config.decode(), bundle.document
    wanted = [(name, document.get(name)) for name in ("process", "annotations")]  # type: ignore[attr-defined]
    spots = tuple([-1 if value is None else _spot(text, name, value) for name, value in wanted])
    return spots if _NOWHERE not in spots else ()


def _spot(text: str, name: str, value: object) -> int:
    at = -1
    while (at := text.find(f'"{name}"', at + 1)) >= 0:
        spot = at + len(name) + 2
        while text[spot : spot + 1] in (" ", "\t", "\n", "\r", ":"):
            spot += 1
        try:
            if value_at(text, spot) == value:
                return spot
        except (ValueError, StopIteration):
            continue
    return _NOWHERE


def _cut(text: bytes, out: tuple[bytes, ...]) -> list[bytes | int]:
    """What is between what is to be taken out, and the indices of that."""
    pieces: list[bytes | int] = [text]
    for index, word in enumerate(out):
        pieces = [
            each for piece in pieces for each in (_split(piece, word, index) if type(piece) is bytes else (piece,))
        ]
    return pieces


def _split(text: bytes, word: bytes, index: int) -> list[bytes | int]:
    pieces: list[bytes | int] = [index] * (2 * text.count(word) + 1)
    pieces[::2] = text.split(word)
    return pieces


def _whole(pieces: list[bytes | int], put_in: tuple[bytes, ...]) -> bytes:
    """Undo a cut."""
    return b"".join([each if type(each) is bytes else put_in[each] for each in pieces])  # type: ignore[index]

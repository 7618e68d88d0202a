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
from utsuwa.linux.host import Host, boot, facts, observe, probe
from utsuwa.runtime.bundle import Bundle
from utsuwa.runtime.draft import FIELDS, Draft, unpacked_limits
from utsuwa.spec.codec import value_at
from utsuwa.spec.mount import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from utsuwa.linux.host import Observed
    from utsuwa.runtime.draft import CreateRequest
    from utsuwa.spec.runtime import Resources

    Parts = tuple[list[bytes | int], bytes]

_EPOCH = os.urandom(16)
"""Of this program, when its memory comes from an image, else of this process: others may be of another version."""
_LARGEST = 1 << 18
_MOST_MOUNTS = 1 << 14
"""Bytes of /proc/self/mountinfo: more of them change often, and an entry is to be small."""
_SHORTEST_NAME = 4
_NOTHING, _NOWHERE = -1, -2
_SEEN, _UNFIT = b"", b"-"
"""Entries of a shape that has come once; of one whose draft depends on the name by more than its letters."""
_LABELS = b"apparmor", b"Label", b"\\u"
"""What is in a configuration with labels; the last one in a configuration that may write their names in other letters.
"""
_LATEST = "latest"
"""Beside the entries: a link that names the one that a start was last made by, and whose it is."""


class Entry:
    """A kept draft, taken apart: ``spots`` in the configuration, ``pieces`` between what is taken out, ``limits``; the
    ``facts`` it was made for, and what they were drawn from, or None.
    """

    def __init__(self, name: str, body: bytes) -> None:
        self.name = name
        self.observed: Observed | None
        self.facts: dict[str, Any]
        self.spots: tuple[int, ...]
        self.pieces: list[bytes | int]
        self.observed, self.facts, self.spots, self.pieces, limits = loads(body)
        self.limits: tuple[Resources | None, int | None] = unpacked_limits(limits)


class Expected:
    """What can be looked up before a container is asked for: the entry of the last start by heart in this place."""

    def __init__(self, directory: str) -> None:
        self.entry: Entry | None = None
        try:
            cache = Cache(directory)
        except (OSError, Error):
            return
        try:
            epoch, _, name = cache.linked(_LATEST).partition(".")
            body = cache.read(name, _LARGEST) if epoch == _EPOCH.hex() else None  # another's may be of another form
        finally:
            cache.close()
        if body:
            self.entry = _entry(name, body)


class Kept:
    """The place of a container's shape among what is kept."""

    def __init__(
        self, directory: str, request: CreateRequest, bundle: Bundle, expected: Expected | None = None
    ) -> None:
        self._directory, self._request, self._bundle = directory, request, bundle
        self._names = _names(request.id)
        self._name = _key(_boot(bundle.config), request, bundle, self._names)
        self._expected = expected.entry if expected else None
        self._entry = self._expected
        self._seen = self._fit = True
        if self._entry is None or self._entry.name != self._name:
            self._look_up()

    def _look_up(self) -> None:
        body = self._read()
        self._seen, self._fit = body is not None, body != _UNFIT
        self._entry = _entry(self._name, body) if body else None

    @property
    def found(self) -> bool:
        """There is a draft; whether it fits the host as it is now has not been looked at."""
        return self._entry is not None

    def probe(self) -> Host:
        """As ``linux.host.probe()``: what it was when the draft was kept need not be worked out again."""
        entry = self._entry
        return probe((entry.observed, entry.facts) if entry and entry.observed else None)

    def recall(self, host: Host) -> Draft | None:
        """The draft, with this container's name in it; None when there is none, or it was made for another host."""
        entry = self._entry
        if entry is None or entry.facts != host.__dict__:
            return None
        text = self._bundle.config.decode()
        if "\\ud" in text or "\\uD" in text:  # half a character, perhaps, of which only parse() makes something
            return None
        *words, annotations = [None if spot == _NOTHING else value_at(text, spot) for spot in entry.spots]
        packed = _whole(entry.pieces, _private(words, self._names))
        if annotations is not None:
            annotations = {key: value for key, value in annotations.items() if value is not None}
        return Draft.unpacked(packed, entry.limits, annotations, self._request, self._bundle, host)

    def keep(self, draft: Draft, host: Host, filters: str) -> None:
        """Take note of a start for the next one. It costs as much as making the draft did, when it is kept."""
        if draft.recalled or not draft.settled or len(self._names[0]) < _SHORTEST_NAME or not self._fit:
            return
        if draft.document.intelRdt is not None:  # which depends on what there is in resctrl at the moment
            return
        if not self._seen:
            self._write(_SEEN)
            return
        spots, parts = _spots(self._bundle), _parts(draft, self._names)
        fit = spots and parts and parts == self._parts_of_another(host, filters)
        self._write(_body(host, spots, parts) if fit and parts else _UNFIT)

    def expected(self, draft: Draft, host: Host) -> Expected:
        """What a start of this shape would expect, had the draft been kept: for a rehearsal."""
        expected, parts = Expected(""), _parts(draft, self._names)
        if parts:
            expected.entry = Entry(self._name, _body(host, _spots(self._bundle), parts))
        return expected

    def point_out(self) -> None:
        """Tell who waits for the next start what this one was made by."""
        if self._entry is None or self._entry is self._expected:
            return
        try:
            cache = Cache(self._directory)
        except OSError:
            return
        try:
            cache.link(_LATEST, f"{_EPOCH.hex()}.{self._name}")
        finally:
            cache.close()

    def _parts_of_another(self, host: Host, filters: str) -> Parts | None:
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
            return _parts(draft, names)
        except Error:
            return None

    def _read(self) -> bytes | None:
        try:
            cache = Cache(self._directory)
        except OSError:  # read-only, or no parent: it saves time, and is not needed
            return None
        try:
            return cache.read(self._name, _LARGEST)
        finally:
            cache.close()

    def _write(self, body: bytes) -> None:
        try:
            cache = Cache(self._directory)
        except OSError:
            return
        try:
            cache.write(self._name, body)
        finally:
            cache.close()


def _entry(name: str, body: bytes) -> Entry | None:
    return None if body == _UNFIT else Entry(name, body)


def _body(host: Host, spots: tuple[int, ...], parts: Parts) -> bytes:
    observed = observe()
    told = observed if len(observed[0]) < _MOST_MOUNTS and facts(observed) == host else None
    return dumps((told, host.__dict__, spots, *parts), FIELDS)


def _boot(config: bytes) -> bytes:
    """Which boot it is, where a plan depends on that: the security modules that labels are for are no facts of the
    host.
    """
    return boot() if any(word in config for word in _LABELS) else b""


def _key(boot: bytes, request: CreateRequest, bundle: Bundle, names: tuple[bytes, ...]) -> str:
    """What is the same for all containers of a shape, and for no others."""
    asked = {**request.__dict__, "root_mounts": [mount.__dict__ for mount in request.root_mounts]}
    asked |= {"id": len(request.id), "bundle": "", "console": min(request.console, 0), "pid_file": ""}
    asked["pidfd_socket"] = ""
    text = f"{asked}{bundle.path!r}\n".encode() + bundle.config
    if b"\1" in text or b"\2" in text:  # not JSON: of no other's shape
        text += os.urandom(16)
    nameless = text.replace(names[0], b"\1").replace(names[1], b"\2")
    return blake2b(_EPOCH + boot + nameless, digest_size=32).hexdigest()


def _parts(draft: Draft, names: tuple[bytes, ...]) -> Parts | None:
    """What is kept of a draft: all that has names in it, as pieces between them, and the rest; None if it can't be."""
    if not draft.settled:
        return None
    try:
        return _cut(draft.packed(), _private(_words(draft.bundle), names)), draft.limits()
    except ValueError:
        return None


def _names(identifier: str) -> tuple[bytes, ...]:
    """The letters that stand for a container: its id, and the beginning of it that people see."""
    name = identifier.encode()
    return name, name[:12]


def _words(bundle: Bundle) -> tuple[Any, Any]:
    process = bundle.document["process"]  # type: ignore[index]
    return process.get("args"), process.get("env")


def _private(words: Iterable[Any], names: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """All that is taken out of a plan: arguments and environment as it has them, then the names."""
    return (*[texts(each) for each in words if each], *names)


def _spots(bundle: Bundle) -> tuple[int, ...]:
    """Where arguments, environment and annotations are in the text of this shape's configurations: to read them there
    costs a tenth of reading everything. () when they can't be read there.
    """
    text, (arguments, environment) = bundle.config.decode(), _words(bundle)
    annotations = bundle.document.get("annotations")  # type: ignore[attr-defined]
    wanted = ("args", arguments), ("env", environment), ("annotations", annotations)
    spots = tuple([_NOTHING if value is None else _spot(text, name, value) for name, value in wanted])
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

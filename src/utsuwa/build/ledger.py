"""What a build has used of the cache, for other machines: ``--cache-to`` writes it down, ``--cache-from`` reads it.

A layer's key holds all that the layer depends on, so a list of keys with the blobs of their layers serves anywhere. It
travels as an OCI artifact, whose configuration is the list and whose layers are the blobs, or within an image
(``type=inline``), as an annotation of its manifest, which then knows the image's own layers only.
"""

from __future__ import annotations

from utsuwa.errors import Error, InvalidArgument
from utsuwa.spec import codec, image
from utsuwa.spec.image import Descriptor, Manifest
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from utsuwa.image.make import NewLayer
    from utsuwa.image.store import ImageStore

TYPE = "application/vnd.utsuwa.build-cache.v1+json"
ANNOTATION = "org.utsuwa.build.cache.v1"
_LIMIT = 8 << 20


class Line(Record):
    """One layer by its key; ``made`` in Unix seconds."""

    key: str
    diff_id: str
    blob: Descriptor
    made: int = 0
    text: str = ""


class Lines(Record):
    """The list."""

    lines: tuple[Line, ...] = ()


class Source:
    """Where layers of other machines are to be had: what there is, and ``bring``, which puts a blob into our store."""

    def __init__(self, lines: Iterable[Line], bring: Callable[[Descriptor], None]) -> None:
        self.lines = {line.key: line for line in lines}
        self.bring = bring


class Ledger:
    """What one build may use of others, and what it has used."""

    def __init__(self, sources: Sequence[Source] = ()) -> None:
        self._sources = sources
        self.used: dict[str, Line] = {}
        self.final: set[str] = set()
        """The diff IDs of layers that the result has."""

    def find(self, store: ImageStore, key: str, parent: str) -> tuple[NewLayer, int, str] | None:
        """The layer of a key from elsewhere, put on top of ``parent``; when it was made, and of what. None when nobody
        has it, or can't give it now.
        """
        from utsuwa.image.make import stack_layer

        for source in self._sources:
            line = source.lines.get(key)
            if line is None:
                continue
            try:
                if not store.content.has(line.blob.digest):
                    source.bring(line.blob)
                return stack_layer(store, parent, line.blob, line.diff_id), line.made, line.text
            except Error:  # gone meanwhile, or not what it says it is: then it is made here
                continue
        return None

    def note(self, key: str, layer: NewLayer, made: int, text: str = "") -> None:
        """A layer has been used."""
        self.used[key] = Line(key=key, diff_id=layer.diff_id, blob=layer.blob, made=made, text=text)

    def lines(self, whole: bool) -> Lines:
        """What was used for the result's own layers, or all of it."""
        chosen = [line for line in self.used.values() if whole or line.diff_id in self.final]
        return Lines(lines=tuple(sorted(chosen, key=lambda line: line.key)))

    def inline(self) -> str:
        """The annotation of an image."""
        return codec.dumps([[line.key, line.diff_id, line.made] for line in self.lines(whole=False).lines])


def artifact(store: ImageStore, lines: Lines) -> Manifest:
    """The manifest of a list as it goes elsewhere; the list itself is in the store then."""
    data = codec.dumps(lines).encode()
    config = Descriptor(mediaType=TYPE, digest=str(store.content.add(data)), size=len(data))
    blobs = {line.blob.digest: line.blob for line in lines.lines}
    return Manifest(
        schemaVersion=2,
        mediaType=image.OCI_MANIFEST,
        artifactType=TYPE,
        config=config,
        layers=tuple(blobs[digest] for digest in sorted(blobs)),
    )


def read(manifest: bytes, config: bytes) -> list[Line]:
    """The lines of an artifact, or of an image that has some within. Raises InvalidArgument."""
    content: Manifest = codec.decode(Manifest, manifest)
    if content.config.mediaType == TYPE:
        lines: Lines = codec.decode(Lines, config)
        found = list(lines.lines)
    else:
        found = _inline(content, config)
    for line in found:
        image.check(line.blob, f"cache {line.key}")
        image.chain_ids((line.diff_id,))
    return found


def _inline(content: Manifest, config: bytes) -> list[Line]:
    text = (content.annotations or {}).get(ANNOTATION, "")
    if not text:
        return []
    diff_ids = image.config(config, len(content.layers)).rootfs.diff_ids
    blobs = dict(zip(diff_ids, content.layers, strict=True))
    found = codec.parse(text.encode())
    if not isinstance(found, list):
        raise InvalidArgument(f"annotation {ANNOTATION}: expected a list")
    lines = []
    for each in found:
        if not (isinstance(each, list) and len(each) == 3 and isinstance(each[2], int)):
            raise InvalidArgument(f"annotation {ANNOTATION}: expected key, layer and time")
        key, diff_id, made = each
        if diff_id in blobs:
            lines.append(Line(key=str(key), diff_id=str(diff_id), blob=blobs[diff_id], made=made))
    return lines

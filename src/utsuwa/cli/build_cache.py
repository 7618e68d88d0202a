"""``--cache-from`` and ``--cache-to`` of `build`: what other machines have made, fetched; what was used here, sent."""

from __future__ import annotations

import os
import sys

from utsuwa.errors import Error, InvalidArgument, NotFound, Unsupported, from_oserror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from utsuwa.build.ledger import Ledger, Source
    from utsuwa.image.store import ImageStore
    from utsuwa.spec.image import Descriptor

_KEYS = {
    "registry": {"ref", "mode", "image-manifest", "oci-mediatypes", "ignore-error"},
    "local": {"src", "dest", "mode", "tag", "ignore-error"},
    "inline": {"mode"},
}


class Place:
    """One ``--cache-from`` or ``--cache-to``: a name in a registry, a directory, or the image itself."""

    def __init__(self, text: str, kind: str, fields: dict[str, str]) -> None:
        self.text, self.kind, self.fields = text, kind, fields

    @property
    def whole(self) -> bool:
        """Layers of stages that are not in the image, too."""
        return self.fields.get("mode") == "max"


def parse(text: str, flag: str) -> Place:
    """``type=registry,ref=NAME``, ``type=local,src=DIR``, ``type=inline``, or a name. Raises InvalidArgument and
    Unsupported.
    """
    if "=" not in text:
        return Place(text, "registry", {"ref": text})
    fields = dict(part.partition("=")[::2] for part in text.split(","))
    kind = fields.pop("type", "registry")
    if kind not in _KEYS:
        raise Unsupported(f"unsupported: --{flag} type={kind} (use registry, local or inline)")
    for key, value in fields.items():
        if key not in _KEYS[kind]:
            raise Unsupported(f"unsupported: {key} in --{flag} {text}")
        if (key == "mode" and value not in ("min", "max")) or (kind == "inline" and value != "min"):
            raise InvalidArgument(f"--{flag} {text}: invalid mode {value}")
        if key in ("image-manifest", "oci-mediatypes") and value != "true":
            raise Unsupported(f"unsupported: {key}={value} in --{flag} {text}")
    needed = {"registry": "ref", "local": "src" if flag == "cache-from" else "dest"}.get(kind, "")
    if (needed and not fields.get(needed)) or (kind == "inline" and flag == "cache-from"):
        raise InvalidArgument(f"--{flag} {text}: {needed or 'type=registry,ref=IMAGE'} is required")
    return Place(text, kind, fields)


def sources(store: ImageStore, texts: list[str]) -> list[Source]:
    """What there is elsewhere; of what can't be had people are told, and the build goes on."""
    found = []
    for text in texts:
        place = parse(text, "cache-from")
        try:
            found.append(_source(store, place))
        except Error as error:
            print(f"WARNING: cache of {place.text}: {error}", file=sys.stderr)
    return found


def _source(store: ImageStore, place: Place) -> Source:
    from utsuwa.build.ledger import Source, read

    if place.kind == "local":
        return _of_layout(store, place.fields["src"])
    import asyncio

    from utsuwa.image import artifact
    from utsuwa.spec import reference

    name = reference.parse(place.fields["ref"]).tagged()
    lines = [line for documents in asyncio.run(artifact.read(name)) for line in read(*documents)]
    return Source(lines, lambda blob: asyncio.run(artifact.bring(store, name, blob)))


def _of_layout(store: ImageStore, directory: str) -> Source:
    from utsuwa.build.ledger import Source, read
    from utsuwa.image.layout import open_layout
    from utsuwa.spec import digest, image

    layout = open_layout(directory, store.root)
    if not layout.has("index.json"):
        raise NotFound(f"no cache in {directory}")

    def path(name: str) -> str:
        checked = digest.parse(name)
        return f"blobs/{checked.algorithm}/{checked.hex}"

    def bring(blob: Descriptor) -> None:
        taken = store.content.ingest(blob.digest, blob.size)
        if taken is not None:
            with taken:
                for chunk in layout.chunks(path(blob.digest)):
                    taken.write(chunk)
                taken.commit()

    lines = []
    for offer in image.index(layout.read("index.json", image.MANIFEST_LIMIT)).manifests:
        data = layout.read(path(offer.digest), image.MANIFEST_LIMIT)
        config = _config_of(data)
        lines += read(data, layout.read(path(config.digest), image.CONFIG_LIMIT))
    return Source(lines, bring)


def _config_of(manifest: bytes) -> Descriptor:
    from utsuwa.spec import codec
    from utsuwa.spec.image import Manifest

    content: Manifest = codec.decode(Manifest, manifest)
    return content.config


def export(store: ImageStore, ledger: Ledger, texts: list[str]) -> None:
    """Send what was used where it is wanted. Raises what sending raises, unless ignore-error says not to."""
    from utsuwa.build.ledger import artifact

    for text in texts:
        place = parse(text, "cache-to")
        if place.kind == "inline":
            continue
        lease = store.lease()
        try:
            manifest = artifact(store, ledger.lines(place.whole))
            _send(store, place, (*manifest.layers, manifest.config), manifest)
        except Error as error:
            if place.fields.get("ignore-error") != "true":
                raise error.within(f"cache to {place.text}") from None
            print(f"WARNING: cache to {place.text}: {error}", file=sys.stderr)
        finally:
            os.close(lease)


def _send(store: ImageStore, place: Place, blobs: tuple[Descriptor, ...], manifest: object) -> None:
    from utsuwa.spec import codec

    data = codec.dumps(manifest).encode()
    if place.kind == "local":
        try:
            _write_layout(store, place.fields["dest"], place.fields.get("tag", "latest"), blobs, data)
        except OSError as error:
            raise from_oserror(error, place.fields["dest"]) from error
        return
    import asyncio

    from utsuwa.image import artifact
    from utsuwa.spec import reference

    asyncio.run(artifact.send(store, reference.parse(place.fields["ref"]).tagged(), blobs, data))


def _write_layout(store: ImageStore, directory: str, tag: str, blobs: tuple[Descriptor, ...], manifest: bytes) -> None:
    """An OCI layout; what is there already of the same content stays, the index comes last."""
    from utsuwa.spec import codec, digest, image
    from utsuwa.spec.image import Descriptor, Index

    folder = f"{directory}/blobs/sha256"
    os.makedirs(folder, 0o755, exist_ok=True)
    for blob in blobs:
        path = f"{folder}/{digest.parse(blob.digest).hex}"
        if not os.path.exists(path):
            _put(path, _chunks(store, blob.digest))
    name = digest.of(manifest)
    _put(f"{folder}/{name.hex}", [manifest])
    offer = Descriptor(
        mediaType=image.OCI_MANIFEST,
        digest=str(name),
        size=len(manifest),
        annotations={"org.opencontainers.image.ref.name": tag},
    )
    index = Index(schemaVersion=2, mediaType=image.OCI_INDEX, manifests=(offer,))
    _put(f"{directory}/oci-layout", [b'{"imageLayoutVersion":"1.0.0"}'])
    _put(f"{directory}/index.json", [codec.dumps(index).encode()])


def _chunks(store: ImageStore, blob: str) -> Iterator[bytes]:
    fd = store.content.open(blob)
    try:
        while chunk := os.read(fd, 1 << 20):
            yield chunk
    finally:
        os.close(fd)


def _put(path: str, chunks: Iterable[bytes]) -> None:
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.writelines(chunks)
    os.rename(temporary, path)

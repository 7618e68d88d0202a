"""Images into one tar archive: an OCI layout, which also has what ``docker load`` read before it read layouts.

The same images under the same names give the same bytes.
"""

from __future__ import annotations

import os

from utsuwa.errors import InvalidArgument, NotFound
from utsuwa.image.family import index_of, members
from utsuwa.snapshot import tar
from utsuwa.snapshot.archive import END, header, member, padding
from utsuwa.spec import codec, digest, image, reference
from utsuwa.spec import platform as platforms
from utsuwa.spec.image import Descriptor, Index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from utsuwa.image.store import Image, ImageStore
    from utsuwa.spec.image import Manifest
    from utsuwa.spec.platform import Platform
    from utsuwa.spec.reference import Reference

_CHUNK = 1 << 20


def save(store: ImageStore, asked: Sequence[str], platform: Platform | None = None) -> Iterator[bytes]:
    """The archive, in chunks. ``asked``: names with a tag, repositories (for all of their tags), or IDs.

    Raises NotFound at once, before the first chunk, for what is not here, or not for the platform.
    """
    wanted: dict[tuple[str, ...], tuple[list[Image], list[Reference]]] = {}
    for text in asked:
        for found, names in _meant(store, text):
            chosen = _for_platform(found, platform, text)
            known = wanted.setdefault(tuple([each.id for each in chosen]), (chosen, []))[1]
            known.extend(name for name in names if name not in known)
    saving = _Saving(store, list(wanted.values()))
    return saving.chunks()


def save_as(store: ImageStore, found: Sequence[Image], names: Sequence[Reference]) -> Iterator[bytes]:
    """The archive of one image, or of one for several platforms, under names that it need not have here."""
    return _Saving(store, [(list(found), list(names))]).chunks()


def _meant(store: ImageStore, text: str) -> list[tuple[list[Image], list[Reference]]]:
    """The images that somebody asks for, with the names to save them under: none for one that is asked for by ID."""
    try:
        name = reference.parse(text)
    except InvalidArgument:
        return [([store.resolve(text)], [])]
    if not name.tag and not name.digest:
        parsed = [reference.parse(each.name) for each in store.names()]
        tags = sorted(tag.tag for tag in parsed if tag.repository == name.repository and tag.tag)
        if tags:
            tagged = [name.replace(tag=tag) for tag in tags]
            return [(members(store, str(each)), [each]) for each in tagged]
    try:
        found = members(store, text)
    except NotFound:
        raise NotFound(f"No such image: {name.tagged().familiar()}") from None
    named = name.tag and store.named(name)
    return [(found, [name.replace(digest=None)] if named else [])]


def _for_platform(found: list[Image], platform: Platform | None, text: str) -> list[Image]:
    """All of them, or the best for the platform. Raises NotFound when none is."""
    if platform is None:
        return found
    place = platforms.choose(platform, [each.config.platform for each in found])
    if place is None:
        raise NotFound(f"image {text} was found but does not provide the specified platform ({platform})")
    return [found[place]]


class _Saving:
    """The members of one archive. ``wanted``: for each group of names its images, one or one for each platform."""

    def __init__(self, store: ImageStore, wanted: list[tuple[list[Image], list[Reference]]]) -> None:
        self._store = store
        self._groups = wanted
        self._wanted = [(found, names if found is group[0] else []) for group, names in wanted for found in group]
        self._manifests: dict[str, Manifest] = {found.id: found.manifest for found, _ in self._wanted}
        self._blobs: dict[str, int] = {}
        self._indexes: dict[str, Descriptor] = {}
        for found, _ in self._wanted:
            content = self._manifests[found.id]
            for blob in (found.record.manifest, content.config.digest, *(layer.digest for layer in content.layers)):
                self._blobs[blob] = store.content.size(blob)

    def chunks(self) -> Iterator[bytes]:
        """The archive. A lease holds what is read meanwhile."""
        lease = self._store.lease()
        try:
            self._add_indexes()
            for algorithm in ("", *sorted({each.partition(":")[0] for each in self._blobs})):
                yield header(member(f"blobs/{algorithm}".encode(), tar.DIRECTORY, mode=0o755))
            for blob in sorted(self._blobs):
                yield from self._blob(blob, self._blobs[blob])
            for name, document in (
                ("index.json", self._index()),
                ("manifest.json", self._docker_manifest()),
                ("oci-layout", {"imageLayoutVersion": "1.0.0"}),
                ("repositories", self._repositories()),
            ):
                data = codec.dumps(document).encode()
                yield header(member(name.encode(), size=len(data))) + data + padding(len(data))
            yield END
        finally:
            os.close(lease)

    def _blob(self, blob: str, size: int) -> Iterator[bytes]:
        yield header(member(_path(blob).encode(), size=size, mode=0o444))
        fd = self._store.content.open(blob)
        try:
            while chunk := os.read(fd, _CHUNK):
                yield chunk
        finally:
            os.close(fd)
        yield padding(size)

    def _add_indexes(self) -> None:
        """Those of images for several platforms, which are made now if there are none."""
        for group, names in self._groups:
            if len(group) > 1:
                index = index_of(self._store, names[0] if names else None, group)
                self._indexes[group[0].id] = index
                self._blobs[index.digest] = index.size

    def _described(self, group: list[Image]) -> Descriptor:
        found = group[0]
        if len(group) > 1:
            return self._indexes[found.id]
        return Descriptor(
            mediaType=self._manifests[found.id].mediaType or image.OCI_MANIFEST,
            digest=found.record.manifest,
            size=self._blobs[found.record.manifest],
            platform=found.config.platform,
        )

    def _index(self) -> Index:
        """One entry for every name, or one without a name."""
        entries = []
        for group, names in self._groups:
            plain = self._described(group)
            entries += [
                plain.replace(
                    annotations={
                        "io.containerd.image.name": str(name),
                        "org.opencontainers.image.ref.name": name.tag or "",
                    }
                )
                for name in names
            ] or [plain]
        return Index(schemaVersion=2, mediaType=image.OCI_INDEX, manifests=tuple(entries))

    def _docker_manifest(self) -> list[dict[str, object]]:
        return [
            {
                "Config": _path(self._manifests[found.id].config.digest),
                "RepoTags": [name.familiar() for name in names] or None,
                "Layers": [_path(layer.digest) for layer in self._manifests[found.id].layers],
            }
            for found, names in self._wanted
        ]

    def _repositories(self) -> dict[str, dict[str, str]]:
        table: dict[str, dict[str, str]] = {}
        for found, names in self._wanted:
            for name in names:
                table.setdefault(name.familiar_repository, {})[name.tag or ""] = found.top.partition(":")[2]
        return table


def _path(blob: str) -> str:
    checked = digest.parse(blob)
    return f"blobs/{checked.algorithm}/{checked.hex}"

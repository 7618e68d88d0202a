"""Image records: which images there are, what they are called, and which blobs and layers they keep.

    <root>/images/by-id/<hex>.json    one image: its manifest, blobs, layers, size
    <root>/images/by-name/<name>      one name ("/" written as "+"): the image and the digest it was pulled by
    <root>/content, <root>/snapshots  see content.store and snapshot.layers

One small file each, replaced by rename, instead of SQLite: a container's start looks one name up, and importing and
opening sqlite3 costs 14 ms, reading two files a third of one.
"""

from __future__ import annotations

import fcntl
import os

from utsuwa.content.store import ContentStore
from utsuwa.errors import Conflict, InvalidArgument, NotFound, from_oserror
from utsuwa.snapshot.choose import open_snapshotter
from utsuwa.spec import codec, digest, image, reference
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from utsuwa.spec.image import ImageConfig, Manifest
    from utsuwa.spec.platform import Platform
    from utsuwa.spec.reference import Reference

    List = list  # within the class, list is a method

_HEX = frozenset("0123456789abcdef")
_NAME_LIMIT = 250


class ImageRecord(Record):
    """What is stored of an image. ``id`` is its configuration's digest, ``size`` the bytes of all files, ``created``
    Unix seconds, ``parent`` the ID of the image that it was made from here, "" for one that came from elsewhere.
    """

    id: str
    manifest: str
    blobs: tuple[str, ...]
    chain: tuple[str, ...]
    size: int
    created: int = 0
    parent: str = ""


class NameRecord(Record):
    """What a name stands for: an image, and the digest (of an index, perhaps) that the registry had for it.

    ``others``: images for other platforms (family.py); ``index``: the digest of an index that was made of them here.
    """

    name: str
    image: str
    digest: str = ""
    others: tuple[str, ...] = ()
    index: str = ""


class Kept(Record):
    """Blobs and layers that are not to be collected although no image names them yet: a build's cache, for instance."""

    blobs: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()


class Image:
    """An image in the store.

    ``id`` (``sha256:…``); ``names`` and ``digests`` as people write them (``debian:12``, ``debian@sha256:…``);
    ``chain`` the chain IDs of its layers, base first, the last one to prepare a snapshot of; ``size`` in bytes
    unpacked; ``created`` in Unix seconds.
    """

    def __init__(self, store: ImageStore, record: ImageRecord, names: Iterable[NameRecord]) -> None:
        self._store = store
        self.record = record
        self.id = record.id
        self.chain = record.chain
        self.size = record.size
        self.created = record.created
        found = [(reference.parse(name.name), name.digest) for name in names]
        self.names = tuple(sorted(ref.familiar() for ref, _ in found if ref.tag))
        self.digests = tuple(sorted({f"{ref.familiar_repository}@{by}" for ref, by in found if by}))

    @property
    def top(self) -> str:
        """The layer to prepare a snapshot of, "" for an image without layers."""
        return self.chain[-1] if self.chain else ""

    def layer_sizes(self) -> dict[str, int]:
        """The bytes of each of its layers' files."""
        layers = self._store.snapshotter.layers
        return {name: layers.get(name).size for name in self.chain}

    @property
    def manifest(self) -> Manifest:
        """The image's manifest, read from the content store."""
        return image.manifest(self._store.content.read(self.record.manifest, image.MANIFEST_LIMIT))

    @property
    def config(self) -> ImageConfig:
        """The image's configuration, read from the content store."""
        return image.config(self._store.content.read(self.id, image.CONFIG_LIMIT), len(self.chain))


class ImageStore:
    """Everything about images beneath ``root``; safe to use from several processes at once."""

    def __init__(self, root: str, driver: str = "") -> None:
        self.root = root
        self.content = ContentStore(f"{root}/content")
        self.snapshotter = open_snapshotter(f"{root}/snapshots", driver)
        self._records = f"{root}/images/by-id"
        self._names = f"{root}/images/by-name"
        self._kept = f"{root}/images/kept"

    # -- looking up -----------------------------------------------------------------------------------------------

    def resolve(self, name_or_id: str, platform: Platform | None = None) -> Image:
        """The image of a name, an ID or the beginning of one, the best for ``platform`` where a name has several.

        Raises NotFound, Conflict when several IDs begin so.
        """
        if platform is not None:
            from utsuwa.image.family import pick

            return pick(self, name_or_id, platform)
        record = self.find(name_or_id)
        return Image(self, record, self.names_of(record.id))

    def named(self, name: Reference) -> NameRecord | None:
        """What a name stands for, None when it is not known."""
        try:
            with open(self._name_path(name.tagged()), "rb") as file:
                found: NameRecord = codec.decode(NameRecord, file.read())
        except FileNotFoundError:
            return None
        return found

    def list(self) -> list[Image]:
        """Every image, newest first."""
        names: dict[str, list[NameRecord]] = {}
        for name in self.names():
            for each in (name.image, *name.others):
                names.setdefault(each, []).append(name)
        found = [Image(self, record, names.get(record.id, ())) for record in self.records()]
        return sorted(found, key=lambda each: (-each.created, each.id))

    def find(self, name_or_id: str) -> ImageRecord:
        """The record alone, as :meth:`resolve` finds it."""
        try:
            name = self.named(reference.parse(name_or_id))
        except InvalidArgument:
            name = None
            if not self._looks_like_id(name_or_id):
                raise
        if name:
            return self._record(name.image)
        prefix = name_or_id.removeprefix("sha256:").removeprefix("sha512:")
        matches = self._ids(prefix) if self._looks_like_id(name_or_id) else []
        if len(matches) > 1:
            raise Conflict(f'image ID "{name_or_id}" is ambiguous, give more digits of it')
        if not matches:
            raise NotFound(f'no image "{name_or_id}", pull it first')
        return self._record(_id(matches[0]))

    @staticmethod
    def _looks_like_id(text: str) -> bool:
        digits = text.removeprefix("sha256:").removeprefix("sha512:")
        return 0 < len(digits) <= 128 and _HEX.issuperset(digits)

    def _ids(self, prefix: str = "") -> List[str]:
        try:
            entries = os.listdir(self._records)
        except FileNotFoundError:
            return []
        # What begins with a dot was about to become a record when its writer was killed.
        names = [entry for entry in entries if entry.startswith(prefix) and entry[0] != "."]
        return [name[:-5] for name in names if name.endswith(".json")]

    def _record(self, image_id: str) -> ImageRecord:
        try:
            with open(f"{self._records}/{digest.parse(image_id).hex}.json", "rb") as file:
                record: ImageRecord = codec.decode(ImageRecord, file.read())
        except FileNotFoundError:
            raise NotFound(f"no image {image_id}, pull it first") from None
        return record

    def record(self, image_id: str) -> ImageRecord | None:
        """The record of a whole ID, None when there is no such image."""
        try:
            return self._record(image_id)
        except NotFound:
            return None

    def names_of(self, image_id: str) -> List[NameRecord]:
        """What an image is called: by tag, and by the digests it was pulled by."""
        return [name for name in self.names() if name.image == image_id or image_id in name.others]

    def tagged_at(self, image_id: str) -> float:
        """When an image got its latest name, in Unix seconds; 0 without a name."""
        times = [0.0]
        for name in self.names_of(image_id):
            try:
                times.append(os.stat(self._name_path(reference.parse(name.name))).st_mtime)
            except FileNotFoundError:
                continue
        return max(times)

    def records(self) -> Iterator[ImageRecord]:
        """Every image's record, in no order."""
        for digits in self._ids():
            try:
                yield self._record(_id(digits))
            except NotFound:
                continue  # removed since the folder was read

    def names(self) -> Iterator[NameRecord]:
        """Every name of every image, in no order."""
        try:
            entries = os.listdir(self._names)
        except FileNotFoundError:
            return
        for entry in entries:
            if entry.startswith("."):
                continue
            try:
                with open(f"{self._names}/{entry}", "rb") as file:
                    yield codec.decode(NameRecord, file.read())
            except FileNotFoundError:
                continue

    # -- changing -------------------------------------------------------------------------------------------------

    def lease(self) -> int:
        """A descriptor that keeps blobs and layers from being collected for as long as it is open; the caller closes
        it.
        """
        guard = self.snapshotter.layers.guard()
        assert guard is not None  # only an exclusive one can be refused
        return guard

    def put(self, record: ImageRecord, names: Iterable[tuple[Reference, str]] = ()) -> Image:
        """Store an image whose blobs and layers are committed; give it names, each with the digest it was found by."""
        with self.changing():
            _replace(f"{self._records}/{digest.parse(record.id).hex}.json", record)
            for name, by in names:
                self._write_name(name, record.id, by)
        return self.resolve(record.id)

    def replace(self, record: ImageRecord) -> None:
        """Write an image's record anew; within :meth:`changing`."""
        _replace(f"{self._records}/{digest.parse(record.id).hex}.json", record)

    def name_family(self, name: Reference, first: str, others: tuple[str, ...], index: str) -> None:
        """Give a name to images for several platforms; within :meth:`changing`."""
        tagged = name.tagged()
        _replace(self._name_path(tagged), NameRecord(name=str(tagged), image=first, others=others, index=index))

    def note_digest(self, name: Reference, image_id: str, by: str) -> None:
        """Remember by which digest a registry now knows an image that has the name, if it still has."""
        with self.changing():
            known = self.named(name)
            if known and known.image == image_id:
                self._write_name(name, image_id, by, known)

    def tag(self, source: str, target: str) -> None:
        """Give an image another name, taken from another image if it must be; raises NotFound, InvalidArgument."""
        name = reference.parse(target)
        if name.digest:
            raise InvalidArgument("refusing to create a tag with a digest reference")
        with self.changing():
            try:
                known = self.named(reference.parse(source))
            except InvalidArgument:
                known = None
            if known and known.others:
                self.name_family(name, known.image, known.others, known.index or known.digest)
            else:
                self._write_name(name, self.find(source).id, "")

    def untag(self, image_id: str, name: Reference) -> None:
        """Take a name from an image, one it does not have (any more) is fine; within :meth:`changing`. Others that
        share it keep it.
        """
        known = self.named(name)
        if known is None or image_id not in (known.image, *known.others):
            return
        rest = [each for each in (known.image, *known.others) if each != image_id]
        if rest:
            changed = known.replace(image=rest[0], others=tuple(rest[1:]), index="")
            _replace(self._name_path(name.tagged()), changed)
        else:
            os.unlink(self._name_path(name.tagged()))

    def forget(self, record: ImageRecord) -> None:
        """Drop the record of an image that has no names; :meth:`collect` then takes what only it needed. Within
        :meth:`changing`.
        """
        os.unlink(f"{self._records}/{digest.parse(record.id).hex}.json")

    def keep(self, name: str, kept: Kept | None) -> None:
        """Have blobs and layers kept under a name (letters, digits, ``-``), in the place of what was kept under it;
        None keeps nothing. What is kept anew must be under a lease until then.
        """
        path = f"{self._kept}/{name}.json"
        with self.changing():
            if kept is not None:
                os.makedirs(self._kept, 0o700, exist_ok=True)
                _replace(path, kept)
            elif os.path.exists(path):
                os.unlink(path)

    def kept(self) -> dict[str, Kept]:
        """All that is kept, by name."""
        try:
            entries = [entry for entry in os.listdir(self._kept) if entry[0] != "."]
        except FileNotFoundError:
            return {}
        found: dict[str, Kept] = {}
        for entry in entries:
            try:
                with open(f"{self._kept}/{entry}", "rb") as file:
                    found[entry[:-5]] = codec.decode(Kept, file.read())
            except FileNotFoundError:
                continue
        return found

    def sweep(self) -> None:
        """Remove what killed pulls left half done; what live ones are at stays."""
        self.content.sweep()
        self.snapshotter.layers.sweep()

    def collect(self) -> tuple[str, ...]:
        """Remove blobs and layers that no image and no snapshot needs; returns the layers. Left for later while a pull
        runs.
        """
        layers = self.snapshotter.layers
        guard = layers.guard(exclusive=True)
        if guard is None:
            return ()
        try:
            records, kept = list(self.records()), list(self.kept().values())
            blobs = {blob for record in records for blob in record.blobs}.union(*(each.blobs for each in kept))
            for blob, _ in list(self.content.walk()):
                if blob not in blobs:
                    self.content.delete(blob)
            needed = {name for record in records for name in record.chain}
            for name in self.snapshotter.used_layers().union(*(each.layers for each in kept)):
                needed.update(layers.stack(name))
            gone = tuple(name for name in list(layers.walk()) if name not in needed)
            for name in gone:
                layers.remove(name)
            self.sweep()
            self._drop_unfinished()
        finally:
            os.close(guard)
        return gone

    def _drop_unfinished(self) -> None:
        """Remove records that were never put in place."""
        with self.changing():
            for folder in (self._records, self._names, self._kept):
                if os.path.isdir(folder):
                    for entry in os.listdir(folder):
                        if entry[0] == ".":
                            os.unlink(f"{folder}/{entry}")

    def _write_name(self, name: Reference, image_id: str, by: str, family: NameRecord | None = None) -> None:
        """``family``: those that share the name go on doing so; without, those do that came by the same index."""
        tagged = name.tagged()
        if tagged.tag and tagged.digest:
            tagged = tagged.replace(tag=None)
        known = family or self.named(tagged)
        first, others = image_id, known.others if family and known else ()
        if known and not family and by and known.digest == by and (known.image, known.others) != (image_id, ()):
            from utsuwa.image.family import beside

            first, others = beside(self, known, image_id)
        index = known.index if others and known else ""
        fresh = NameRecord(name=str(tagged), image=first, digest=by, others=others, index=index)
        _replace(self._name_path(tagged), fresh)
        # By the digest it is known for longer than by the tag, which may move on. A long name has to do with the tag.
        if by and tagged.tag and len(tagged.repository) + len(by) < _NAME_LIMIT:
            self._write_name(tagged.replace(tag=None, digest=by), image_id, by, family)

    def _name_path(self, name: Reference) -> str:
        if name.tag and name.digest:
            name = name.replace(tag=None)
        text = str(name).replace("/", "+")
        if len(text) > _NAME_LIMIT:
            raise InvalidArgument(f'image name "{name}" is longer than the 250 characters that can be stored')
        return f"{self._names}/{text}"

    def changing(self) -> _Lock:
        """For a ``with``: nobody else changes records or names meanwhile."""
        for folder in (self._records, self._names):
            try:
                os.makedirs(folder, 0o700, exist_ok=True)
            except OSError as error:
                raise from_oserror(error, f"open image store {self.root}") from None
        return _Lock(f"{self.root}/images/lock")


class _Lock:
    """An exclusive flock(2) for the length of a ``with``."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> None:
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *_failure: object) -> None:
        os.close(self._fd)


def _id(digits: str) -> str:
    """The whole ID that a record's file name stands for; the length tells the algorithm."""
    return f"sha256:{digits}" if len(digits) == digest.HEX_LENGTHS["sha256"] else f"sha512:{digits}"


def _replace(path: str, record: Record) -> None:
    """Write a record so that a reader, or a power failure, finds the old one or the new one whole."""
    if _holds(path, record):
        return
    folder, _, name = path.rpartition("/")
    fresh = f"{folder}/.{name}"[: len(folder) + 250]
    try:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, codec.dumps(record).encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(fresh, path)
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise from_oserror(error, f"write {path}") from None


def _holds(path: str, record: Record) -> bool:
    """Whether a record is there already: nothing is to be flushed then."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read() == codec.dumps(record).encode()
    except FileNotFoundError:
        return False

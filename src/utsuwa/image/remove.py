"""Removing images, by Docker's rules: a name goes first, and with the last name the image, unless something needs it.

An image may be in use by a container or have children (images made of it here, by commit). A running container and a
child can't be overridden; a stopped container and further names can, by force. Layers of containers stay for as long as
these do.
"""

from __future__ import annotations

from utsuwa.errors import Conflict
from utsuwa.image.family import pick
from utsuwa.spec import reference
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from utsuwa.image.store import ImageRecord, ImageStore, NameRecord
    from utsuwa.spec.platform import Platform
    from utsuwa.spec.reference import Reference


class Use(Record):
    """A container that stands on an image."""

    container: str
    running: bool = False


class Removal(Record):
    """What was done, for telling the user: names as people write them, IDs of images and layers."""

    untagged: tuple[str, ...]
    images: tuple[str, ...]
    layers: tuple[str, ...]

    @property
    def deleted(self) -> tuple[str, ...]:
        """Images, then layers."""
        return (*self.images, *self.layers)


def remove(store: ImageStore, asked: str, uses: Mapping[str, Use], force: bool = False, prune: bool = True) -> Removal:
    """Remove what ``asked`` names, by name or ID. ``uses``: the containers by image ID, running ones before others;
    ``prune``: also the image's ancestors that have no name and no other child.

    Raises NotFound; Conflict in Docker's words, which callers look for.
    """
    with store.changing():
        doing = _Removing(store, uses, force)
        doing.remove(asked, store.find(asked), prune)
    layers = store.collect() if doing.deleted else ()
    return Removal(untagged=tuple(doing.untagged), images=tuple(doing.deleted), layers=layers)


def remove_platform(
    store: ImageStore, asked: str, platform: Platform, uses: Mapping[str, Use], force: bool = False
) -> Removal:
    """Of the images that a name stands for, take the name from the one for a platform, which goes with its last name.

    Raises as :func:`remove`.
    """
    with store.changing():
        doing = _Removing(store, uses, force)
        doing.remove_member(asked, pick(store, asked, platform).record)
    layers = store.collect() if doing.deleted else ()
    return Removal(untagged=tuple(doing.untagged), images=tuple(doing.deleted), layers=layers)


class _Removing:
    def __init__(self, store: ImageStore, uses: Mapping[str, Use], force: bool) -> None:
        self._store, self._uses, self._force = store, uses, force
        self.untagged: list[str] = []
        self.deleted: list[str] = []

    def remove(self, asked: str, record: ImageRecord, prune: bool) -> None:
        names = self._store.names_of(record.id)
        single = _is_single(names)
        by_id = record.id.startswith(asked) or record.id.partition(":")[2].startswith(asked)
        if not by_id:
            use = self._uses.get(record.id)
            if use and single and not self._force:
                raise Conflict(
                    f'conflict: unable to remove repository reference "{asked}" (must force) - '
                    f"container {use.container[:12]} is using its referenced image {_short(record.id)}"
                )
            name = reference.parse(asked).tagged()
            self._untag_others(name)
            self._untag(record, name)
            if self._store.names_of(record.id):
                return
        elif single:
            self._refuse(record, soft=not self._force, names=False)
            self._untag_all(record)
        self._delete(record, self._force, quiet=not by_id)
        while prune and record.parent and record.id in self.deleted:
            parent = self._store.record(record.parent)
            if parent is None:
                return
            record = parent
            self._delete(record, False, quiet=True)

    def remove_member(self, asked: str, record: ImageRecord) -> None:
        """As :meth:`remove`, but images of the same names for other platforms keep them."""
        names = self._store.names_of(record.id)
        by_id = record.id.startswith(asked) or record.id.partition(":")[2].startswith(asked)
        if by_id or _is_single(names):
            self._refuse(record, soft=not self._force, names=not _is_single(names))
            for each in names:
                self._store.untag(record.id, reference.parse(each.name))
            self._delete(record, self._force, quiet=False)
            return
        name = reference.parse(asked).tagged()
        self._store.untag(record.id, name)
        self.untagged.append(name.familiar())

    def _delete(self, record: ImageRecord, force: bool, quiet: bool) -> None:
        try:
            self._refuse(record, soft=not force, names=True)
        except _InUse:
            if not quiet:
                raise
            return
        except Conflict:
            if not quiet or self._is_dangling(record):
                raise
            return
        self._untag_all(record)
        self._store.forget(record)
        self.deleted.append(record.id)

    def _refuse(self, record: ImageRecord, soft: bool, names: bool) -> None:
        """Raise Conflict when something is in the way: ``soft`` for what force would override, ``names`` among it."""
        use = self._uses.get(record.id)
        hard = "cannot be forced"
        if self._children(record):
            raise Conflict(_unable(record, hard, "image has dependent child images"))
        if use and use.running:
            raise _InUse(_unable(record, hard, f"image is being used by running container {use.container[:12]}"))
        if not soft:
            return
        if names and self._store.names_of(record.id):
            raise Conflict(_unable(record, "must be forced", "image is referenced in multiple repositories"))
        if use:
            raise _InUse(
                _unable(record, "must be forced", f"image is being used by stopped container {use.container[:12]}")
            )

    def _children(self, record: ImageRecord) -> bool:
        return any(each.parent == record.id for each in self._store.records())

    def _is_dangling(self, record: ImageRecord) -> bool:
        return not self._store.names_of(record.id) and not self._children(record)

    def _untag_others(self, name: Reference) -> None:
        """A name goes as a whole: those for other platforms lose it, too, and go with it unless something needs
        them.
        """
        known = self._store.named(name)
        for each in known.others if known else ():
            other = self._store.record(each)
            if other is not None:
                self._untag(other, name)
                if not self._store.names_of(other.id):
                    self._delete(other, self._force, quiet=True)

    def _untag(self, record: ImageRecord, name: Reference) -> None:
        """Take one name away, and with the last tag of a repository the digests that are known of it."""
        self._store.untag(record.id, name)
        if name.familiar() not in self.untagged:
            self.untagged.append(name.familiar())
        if name.digest:
            return
        rest = self._store.names_of(record.id)
        own = [each for each in rest if reference.parse(each.name).repository == name.repository]
        if any(reference.parse(each.name).tag for each in own):
            return
        for each in own:
            self._store.untag(record.id, reference.parse(each.name))
            if reference.parse(each.name).familiar() not in self.untagged:
                self.untagged.append(reference.parse(each.name).familiar())

    def _untag_all(self, record: ImageRecord) -> None:
        names = sorted((reference.parse(each.name) for each in self._store.names_of(record.id)), key=str)
        for name in [name for name in names if name.tag]:
            self._untag(record, name)
        for each in self._store.names_of(record.id):
            self._untag(record, reference.parse(each.name))


class _InUse(Conflict):
    """A container is in the way."""


def _is_single(names: list[NameRecord]) -> bool:
    """At most one tag, and everything in one repository."""
    parsed = [reference.parse(each.name) for each in names]
    tags = [name for name in parsed if name.tag]
    return len(tags) <= 1 and len({name.repository for name in parsed}) <= 1


def _unable(record: ImageRecord, how: str, why: str) -> str:
    return f"conflict: unable to delete {_short(record.id)} ({how}) - {why}"


def _short(image_id: str) -> str:
    return image_id.partition(":")[2][:12]

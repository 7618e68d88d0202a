"""Volumes in the hands of a program."""

from __future__ import annotations

from utsuwa.library.envoy import indoors
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from utsuwa.engine.volumes import VolumeRecord
    from utsuwa.library.services import Services

    List = list  # within the class, list is a method


class StoredVolume(Record):
    """A volume of the engine: its ``name``, the host's ``path`` of its files, its ``labels``."""

    name: str
    path: str
    labels: dict[str, str]


class Volumes:
    """The volumes of an engine; ``volumes=["name:/path"]`` gives one to a container, and makes it if need be."""

    def __init__(self, services: Services) -> None:
        """For the library's own use."""
        self.services = services

    @indoors
    def create(self, name: str = "", *, labels: Mapping[str, str] | None = None) -> StoredVolume:
        """Make a volume, or find the one of that name; without a name it gets one that nobody has."""
        return self._shown(self.services.volumes.create(name, labels=dict(labels or {}) or None))

    @indoors
    def get(self, name: str) -> StoredVolume:
        """The volume of a name. Raises NotFound."""
        return self._shown(self.services.volumes.find(name))

    @indoors
    def list(self) -> List[StoredVolume]:
        """All of them."""
        return [self._shown(record) for record in self.services.volumes.all()]

    @indoors
    def remove(self, name: str, *, force: bool = False) -> None:
        """Remove one. Raises Conflict when a container has it, NotFound (unless ``force``) when there is none."""
        self.services.volumes.remove(name, force=force)

    def _shown(self, record: VolumeRecord) -> StoredVolume:
        return StoredVolume(
            name=record.name, path=self.services.volumes.data(record.name), labels=dict(record.labels or {})
        )

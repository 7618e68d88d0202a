"""What is on the disk, and how much of it nothing needs (docker system df)."""

from __future__ import annotations

from utsuwa.engine.sizes import written
from utsuwa.errors import NotFound
from utsuwa.snapshot.measure import disk_usage
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.containers import Containers
    from utsuwa.engine.images import Images
    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.status import Status
    from utsuwa.engine.volumes import VolumeRecord, Volumes
    from utsuwa.image.store import Image


class Share(Record):
    """One kind of thing: how many, how many in use, their bytes, and the bytes that could be freed."""

    kind: str
    total: int
    active: int
    size: int
    reclaimable: int


class ImageUsage:
    """An image with its bytes, those of layers that other images have too, and how many containers use it."""

    def __init__(self, image: Image, shared: int, containers: int) -> None:
        self.image, self.shared, self.containers = image, shared, containers

    @property
    def unique(self) -> int:
        """Bytes that go with the image."""
        return self.image.size - self.shared


class ContainerUsage:
    """A container with the bytes that it has written."""

    def __init__(self, record: ContainerRecord, status: Status, size: int) -> None:
        self.record, self.status, self.size = record, status, size


class VolumeUsage:
    """A volume with its bytes and how many containers have it."""

    def __init__(self, record: VolumeRecord, size: int, links: int) -> None:
        self.record, self.size, self.links = record, size, links


class Usage:
    """All that is there; made by :func:`usage`."""

    def __init__(
        self,
        images: list[ImageUsage],
        layers: int,
        containers: list[ContainerUsage],
        volumes: list[VolumeUsage],
    ) -> None:
        self.images, self.layers, self.containers, self.volumes = images, layers, containers, volumes

    def shares(self) -> list[Share]:
        """The rows of Docker's summary. Layers that several images have count once."""
        used = [each for each in self.images if each.containers]
        kept = {name: 0 for each in used for name in each.image.chain}
        needed = self.layers - sum(size for name, size in self._layer_sizes().items() if name not in kept)
        stopped = [each for each in self.containers if not each.status.alive]
        idle = [each for each in self.volumes if not each.links]
        return [
            Share(kind="Images", total=len(self.images), active=len(used), size=self.layers,
                  reclaimable=max(0, self.layers - needed)),
            Share(kind="Containers", total=len(self.containers), active=len(self.containers) - len(stopped),
                  size=sum(each.size for each in self.containers), reclaimable=sum(each.size for each in stopped)),
            Share(kind="Local Volumes", total=len(self.volumes), active=len(self.volumes) - len(idle),
                  size=sum(each.size for each in self.volumes), reclaimable=sum(each.size for each in idle)),
        ]  # fmt: skip

    def _layer_sizes(self) -> dict[str, int]:
        return {name: size for each in self.images for name, size in each.image.layer_sizes().items()}


def usage(images: Images, containers: Containers, volumes: Volumes) -> Usage:
    """Look at everything; trees of containers and volumes are walked."""
    running = containers.list(everything=True)
    found = images.store.list()
    counts: dict[str, int] = {}
    for image in found:
        for name in image.chain:
            counts[name] = counts.get(name, 0) + 1
    sizes = {name: size for image in found for name, size in image.layer_sizes().items()}
    users = [record.imageId for record, _ in running]
    owners = volumes.users()
    return Usage(
        [
            ImageUsage(image, sum(sizes[name] for name in image.chain if counts[name] > 1), users.count(image.id))
            for image in found
        ],
        sum(sizes.values()),
        [ContainerUsage(record, status, _written(images, record)) for record, status in running],
        [
            VolumeUsage(record, _tree(volumes.data(record.name)), len(owners.get(record.name, ())))
            for record in volumes.all()
        ],
    )


def _written(images: Images, record: ContainerRecord) -> int:
    try:
        return written(images, record)
    except NotFound:  # removed meanwhile
        return 0


def _tree(path: str) -> int:
    try:
        return disk_usage(path) if path else 0
    except FileNotFoundError:
        return 0

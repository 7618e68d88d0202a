"""Images as the engine needs them: found by name, listed, removed while nothing uses them; pulled by the door that
may wait.
"""

from __future__ import annotations

from utsuwa.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.containers import Containers
    from utsuwa.engine.paths import Paths
    from utsuwa.image.remove import Use
    from utsuwa.image.store import Image, ImageStore
    from utsuwa.snapshot.snapshotter import Snapshotter


class Images:
    """The image store below the paths, opened at the first use."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._store: ImageStore | None = None

    @property
    def store(self) -> ImageStore:
        """The store itself."""
        if self._store is None:
            from utsuwa.image.store import ImageStore

            self._store = ImageStore(self._paths.root)
        return self._store

    @property
    def snapshotter(self) -> Snapshotter:
        """Where containers get their root file systems."""
        return self.store.snapshotter  # type: ignore[return-value]  # what both kinds share lacks two methods

    def resolve(self, name: str, platform: str = "") -> Image:
        """The image of a name or an id, for a platform where a name has several. Raises NotFound with Docker's words,
        which clients look for.
        """
        try:
            found = self.store.resolve(name)
        except NotFound as error:
            raise NotFound(f"No such image: {with_tag(name)}") from error
        if not platform:
            return found
        from utsuwa.spec import platform as platforms

        return self.store.resolve(name, platforms.parse(platform))

    def note(self, action: str, identifier: str, name: str = "") -> None:
        """Write down what was done to an image, for `events`: ``action`` is Docker's word, ``identifier`` the image's
        ID or the name it was done by.
        """
        from utsuwa.monitor.journal import emit

        emit(self._paths.run, "image", action, identifier, {"name": name} if name else None)

    def note_pruned(self, kind: str, reclaimed: int) -> None:
        """Write down that images, or what stands on them (a ``kind`` of Docker's events), were removed where nobody
        needed them, which gave so many bytes back.
        """
        from utsuwa.monitor.journal import note_pruned

        note_pruned(self._paths.run, kind, reclaimed)

    def uses(self, containers: Containers) -> dict[str, Use]:
        """The container that stands on each image, a running one where there are several."""
        from utsuwa.image.remove import Use

        found: dict[str, Use] = {}
        for record, status in containers.list(everything=True):
            known = found.get(record.imageId)
            if known is None or (status.alive and not known.running):
                found[record.imageId] = Use(container=record.id, running=status.alive)
        return found

    def trees(self, image: Image) -> list[str]:
        """The host directories of an image's layers, top first."""
        layers = self.snapshotter.layers
        return [layers.tree(each) for each in (layers.stack(image.top) if image.top else ())]


def with_tag(name: str) -> str:
    """The name with the tag that was looked for."""
    return name if ":" in name.rpartition("/")[2] or "@" in name else f"{name}:latest"

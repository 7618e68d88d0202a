"""What all stages of one build share: the request, the stores, the cache, the directory to work in, what is built
already.
"""

from __future__ import annotations

import time
from _thread import allocate_lock

from utsuwa.build.cache import Cache
from utsuwa.build.ledger import Ledger
from utsuwa.build.lifelines import Lifelines
from utsuwa.build.request import normal
from utsuwa.errors import Error
from utsuwa.spec import digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from utsuwa.build.graph import Graph
    from utsuwa.build.progress import Progress
    from utsuwa.build.request import BuildRequest
    from utsuwa.build.state import State
    from utsuwa.build.workshop import Workshop
    from utsuwa.engine.images import Images
    from utsuwa.engine.paths import Paths
    from utsuwa.image.make import NewLayer
    from utsuwa.image.store import Image, ImageStore
    from utsuwa.spec.platform import Platform

    Bring = Callable[[str, Platform | None], Image]


class Kitchen:
    """One build. ``bring`` finds an image by name, and may pull it; ``built`` has the stages that are done, by
    number.
    """

    def __init__(
        self,
        request: BuildRequest,
        graph: Graph,
        paths: Paths,
        images: Images,
        workshop: Workshop,
        progress: Progress,
        bring: Bring,
        ledger: Ledger | None = None,
    ) -> None:
        self.request, self.graph = request, graph
        self.paths, self.images, self.workshop, self.progress = paths, images, workshop, progress
        self.built: dict[int, State] = {}
        self.lifelines = Lifelines()
        self._bringing = allocate_lock()
        self._bring = bring
        self._brought: dict[str, Image] = {}
        self._cache = Cache(images.store)
        self.ledger = ledger or Ledger()

    @property
    def store(self) -> ImageStore:
        """The image store."""
        return self.images.store

    @property
    def moment(self) -> int:
        """The time of what this build makes, in nanoseconds."""
        epoch = self.request.epoch
        return time.time_ns() if epoch is None else epoch * 1_000_000_000

    @property
    def epoch(self) -> int | None:
        """SOURCE_DATE_EPOCH in nanoseconds, None when there is none."""
        return None if self.request.epoch is None else self.moment

    def image(self, name: str, platform: Platform | None) -> Image:
        """An image by its name. Raises what finding and pulling it raises."""
        key = f"{name} {platform}"
        with self._bringing:
            if key not in self._brought:
                try:
                    self._brought[key] = self._find(name, platform)
                except Error as error:
                    raise error.within(f"{name}: failed to resolve source metadata") from error
            return self._brought[key]

    def _find(self, name: str, platform: Platform | None) -> Image:
        named = self.request.contexts.get(normal(name))
        if named is None:
            return self._bring(name, platform)
        if named.layout:
            from utsuwa.image.load import load_from_layout

            return load_from_layout(self.store, named.layout, named.image, platform)
        return self._bring(named.image, platform)

    def key(self, *about: object) -> str:
        """The cache's name for a layer: all that it depends on, its parent first."""
        epoch = self.request.epoch
        return digest.of(repr((*about, epoch)).encode("utf-8", "surrogateescape")).hex

    def cached(self, key: str, parent: str) -> tuple[NewLayer, int] | None:
        """The layer of an earlier build, when it is all there, and when that made it, in Unix seconds; here, or
        elsewhere, and then put on top of ``parent``.
        """
        if not self.request.use_cache:
            return None
        found = self._cache.get(key)
        if found is None:
            brought = self.ledger.find(self.store, key, parent)
            if brought is None:
                return None
            layer, made, text = brought
            self._cache.put(key, layer, text or "made elsewhere", made)
            found = layer, made
        self.ledger.note(key, *found)
        return found

    def stacked(self, layer: NewLayer, made: int, parent: str) -> tuple[NewLayer, int]:
        """A layer, put on top of another one than it was made for."""
        if layer.parent == parent:
            return layer, made
        from utsuwa.image.make import stack_layer

        return stack_layer(self.store, parent, layer.blob, layer.diff_id), made

    def make(self, key: str, parent: str, chunks: Iterable[bytes], text: str) -> tuple[NewLayer, int]:
        """A new layer of an archive, kept for builds to come, and its time."""
        from utsuwa.image.make import add_layer

        layer = add_layer(self.store, parent, chunks)
        made = self.moment // 1_000_000_000
        self._cache.put(key, layer, text, made)
        self.ledger.note(key, layer, made, text)
        return layer, made

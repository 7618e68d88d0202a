"""Pull: from a name to an image in the store, downloads and unpacking side by side.

Each layer is downloaded and unpacked at once: a worker process reads the blob's file behind the download. Layers need
not wait for one another, since each becomes a directory of its own; only the commit at the end goes from the base up.
Nothing is visible before that.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack

from utsuwa.content.durable import flush_file_system
from utsuwa.errors import Error, InvalidArgument, NotFound, PermissionDenied, Unavailable
from utsuwa.image.install import Part, install, parts
from utsuwa.registry.client import Patience, RegistryClient
from utsuwa.registry.configuration import Registries
from utsuwa.snapshot.unpack import Unpacking
from utsuwa.spec import image, reference
from utsuwa.spec import platform as platforms
from utsuwa.spec.image import Descriptor
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from utsuwa.content.store import Ingest
    from utsuwa.image.store import Image, ImageStore
    from utsuwa.registry.credentials import Credentials
    from utsuwa.snapshot.apply import Limits
    from utsuwa.snapshot.layers import Staging
    from utsuwa.spec.image import ImageConfig, Manifest
    from utsuwa.spec.platform import Platform
    from utsuwa.spec.reference import Reference

    T = TypeVar("T")

DOWNLOADS = 3
"""Layers downloaded at once, as Docker and containerd do: more only compete for the same line."""
_INDEX_DEPTH = 3
_WAIT = 0.1
_HASTE = Patience(connect=5.0, backoff=0.1, longest=1.0)
"""For a mirror: somebody else has the same."""


class Event(Record):
    """One piece of news from a pull.

    ``kind``: ``resolved`` (``digest`` is what the registry has for the name), then for each layer ``exists``, or
    ``waiting``, ``downloading`` (``current`` of ``total`` bytes), ``downloaded``, ``unpacking`` (as far as the blob was
    read), ``unpacked``; at last ``committing`` and ``done``, or ``up-to-date`` alone. ``digest`` names the layer's
    blob.
    """

    kind: str
    digest: str = ""
    current: int = 0
    total: int = 0


async def tags(name: Reference, credentials: Credentials | None = None, patience: Patience | None = None) -> list[str]:
    """The tags that a registry has of a repository."""
    place = Registries().origin(name.domain)
    async with RegistryClient(name.domain, credentials, patience, place) as registry:
        return await registry.tags(name.path)


async def pull(
    store: ImageStore,
    name: str,
    platform: Platform | None = None,
    progress: Callable[[Event], None] | None = None,
    credentials: Credentials | None = None,
    patience: Patience | None = None,
    limits: Limits | None = None,
) -> Image:
    """Bring an image into the store and give it its name there; returns it.

    ``platform`` defaults to this host's (or what this can run), ``credentials`` to those of ``docker login``,
    ``limits`` to what no honest layer reaches. Raises what :mod:`utsuwa.errors` has for it, naming registry, repository
    and digest; nothing of a failed pull remains but blobs that arrived whole, for the next try.
    """
    wanted = reference.parse(name).tagged()
    lease = store.lease()
    try:
        store.sweep()
        sources = Registries().sources(wanted.domain)
        for place in sources[:-1]:
            try:
                async with RegistryClient(wanted.domain, None, _HASTE, place) as mirror:
                    return await _Pull(store, mirror, wanted, platform, progress or _silent, limits).run()
            except (Error, BaseExceptionGroup) as error:
                if not isinstance(_first(error), (NotFound, PermissionDenied, Unavailable)):
                    raise
        async with RegistryClient(wanted.domain, credentials, patience, sources[-1]) as registry:
            return await _Pull(store, registry, wanted, platform, progress or _silent, limits).run()
    except BaseExceptionGroup as group:
        raise _first(group) from None
    finally:
        os.close(lease)


def _silent(_event: Event) -> None:
    """Nobody wants to know."""


def _first(error: BaseException) -> BaseException:
    """The error that matters of a group: ours before the cancellations and consequences of it."""
    while isinstance(error, BaseExceptionGroup):
        ours = [each for each in error.exceptions if isinstance(each, (Error, BaseExceptionGroup))]
        error = (ours or list(error.exceptions))[0]
    return error


class _Pull:
    def __init__(
        self,
        store: ImageStore,
        registry: RegistryClient,
        name: Reference,
        platform: Platform | None,
        progress: Callable[[Event], None],
        limits: Limits | None,
    ) -> None:
        self.store = store
        self.registry = registry
        self.name = name
        self.asked = platform
        self.platform = platform or platforms.host()
        self.progress = progress
        self.limits = limits
        self._downloads = asyncio.Semaphore(DOWNLOADS)
        self._workers = asyncio.Semaphore((os.cpu_count() or 1) + 2)
        self._flushing = asyncio.Lock()

    async def run(self) -> Image:
        known = await self._up_to_date()
        if known:
            self.progress(Event(kind="up-to-date", digest=known.id))
            return known
        descriptor, content, indexes = await self._resolve()
        config = await self._config(descriptor, content)
        wanted = parts(content, config)
        with ExitStack() as undo:
            stagings = await self._begin(wanted, undo)
            async with asyncio.TaskGroup() as tasks:
                for part in wanted:
                    tasks.create_task(self._layer(part, stagings.get(part.name)))
            self.progress(Event(kind="committing"))
            by = indexes[0] if indexes else descriptor.digest
            made = await _uninterrupted(
                install,
                self.store,
                descriptor,
                content,
                config,
                list(stagings.values()),
                [(self.name, str(by))],
                indexes,
            )
        self.progress(Event(kind="done", digest=made.id))
        return made

    # -- which image ----------------------------------------------------------------------------------------------

    async def _up_to_date(self) -> Image | None:
        """The image that is here already under this name, if the registry still has the same."""
        known = self.store.named(self.name)
        if not known or not known.digest:
            return None
        now = self.name.digest or await self.registry.head(self.name.path, self.name.target)
        if now != known.digest:
            return None
        try:
            found = self.store.resolve(str(self.name), self.asked)
            fits = bool(self.asked) or platforms.choose(self.platform, [found.config.platform]) is not None
        except Error:
            return None  # damaged or just being removed: pulling mends it
        return found if fits and all(map(self.store.snapshotter.layers.has, found.chain)) else None

    async def _resolve(self) -> tuple[Descriptor, Manifest, list[str]]:
        """The manifest for the platform, and the digests of the indexes that led to it."""
        indexes: list[str] = []
        name, data, media_type = await self.registry.manifest(self.name.path, self.name.target)
        self.progress(Event(kind="resolved", digest=name))
        try:
            while image.kind(media_type, data) == "index":
                if len(indexes) >= _INDEX_DEPTH:
                    raise InvalidArgument(f"indexes within indexes, more than {_INDEX_DEPTH}")
                indexes.append(self.store.content.add(data, name))
                chosen = self._choose(image.index(data))
                name, data, served = await self.registry.manifest(self.name.path, chosen.digest, chosen.size)
                media_type = chosen.mediaType if served not in image.MANIFESTS + image.INDEXES else served
            content = image.manifest(data)
        except Error as error:
            raise self._located(error, name) from None
        self.store.content.add(data, name)
        return Descriptor(mediaType=content.mediaType or media_type, digest=str(name), size=len(data)), content, indexes

    def _choose(self, index: image.Index) -> Descriptor:
        place = platforms.choose(self.platform, [offer.platform for offer in index.manifests])
        if place is None:
            offers = sorted({str(offer.platform) for offer in index.manifests if offer.platform} - {"unknown/unknown"})
            raise NotFound(f"no image for {self.platform}, there is {', '.join(offers[:12]) or 'none at all'}")
        return index.manifests[place]

    async def _config(self, descriptor: Descriptor, content: Manifest) -> ImageConfig:
        """The configuration; an image without an index may turn out to be for another platform, which needs a word of
        the user.
        """
        blobs = self.store.content
        if not blobs.has(content.config.digest):
            blobs.add(await self.registry.blob(self.name.path, content.config), content.config.digest)
        try:
            config = image.config(blobs.read(content.config.digest, image.CONFIG_LIMIT), len(content.layers))
            if config.os != "linux":
                raise InvalidArgument(f"an image for {config.platform} can't run on Linux")
            if self.asked and platforms.choose(self.asked, [config.platform]) is None:
                raise NotFound(f"no image for {self.asked}, there is {config.platform}")
        except Error as error:
            raise self._located(error, content.config.digest) from None
        return config

    def _located(self, error: Error, name: str) -> Error:
        text = str(error)
        where = f"{self.name.repository}@{name}"
        return error if where in text else error.within(where)

    # -- layers ---------------------------------------------------------------------------------------------------

    async def _begin(self, wanted: list[Part], undo: ExitStack) -> dict[str, Staging]:
        """Lock the layers that are missing, base first: pulls that share layers then wait for one another at the first
        shared one.
        """
        layers = self.store.snapshotter.layers
        stagings: dict[str, Staging] = {}
        for part in wanted:
            while not layers.has(part.name):
                staging = layers.begin(part.name, part.parent, part.diff_id)
                if staging and layers.has(part.name):  # its maker finished between the two looks
                    staging.close()
                elif staging:
                    undo.callback(staging.close)
                    stagings[part.name] = staging
                    break
                else:
                    self.progress(Event(kind="waiting", digest=part.blob.digest, total=part.blob.size))
                    await asyncio.sleep(_WAIT)
        return stagings

    async def _layer(self, part: Part, staging: Staging | None) -> None:
        if staging is None:
            self.progress(Event(kind="exists", digest=part.blob.digest, total=part.blob.size))
            return
        self.progress(Event(kind="waiting", digest=part.blob.digest, total=part.blob.size))
        async with self._workers:
            with ExitStack() as undo:
                async with (
                    asyncio.TaskGroup() as tasks,
                    self._downloads,
                ):  # given up before the worker is done: the rest of its work needs no line
                    taken = await self._ingest(part)
                    if taken:
                        undo.enter_context(taken)
                    blob = os.dup(taken.fd) if taken else self.store.content.open(part.blob.digest)
                    undo.callback(os.close, blob)
                    unpacking = Unpacking(staging, blob, self.limits)
                    undo.callback(unpacking.close)
                    tasks.create_task(self._watch(unpacking, part))
                    await self._download(part, taken, unpacking)
        async with self._flushing:
            await asyncio.to_thread(flush_file_system, self.store.snapshotter.layers.root)

    async def _ingest(self, part: Part) -> Ingest | None:
        """The blob's place in the store, None when the blob is there already; waits for another pull that is fetching
        it.
        """
        while not self.store.content.has(part.blob.digest):
            taken = self.store.content.ingest(part.blob.digest, part.blob.size)
            if taken:
                return taken
            await asyncio.sleep(_WAIT)
        return None

    async def _download(self, part: Part, taken: Ingest | None, unpacking: Unpacking) -> None:
        total = part.blob.size
        if taken is None:
            unpacking.announce(self.store.content.size(part.blob.digest))
        else:
            async for count in self.registry.fetch(self.name.path, part.blob, taken):
                unpacking.announce(count)
                self.progress(Event(kind="downloading", digest=part.blob.digest, current=taken.offset, total=total))
            try:
                taken.commit()
            except Error as error:
                raise self._located(error, part.blob.digest) from None
        unpacking.complete()
        self.progress(Event(kind="downloaded", digest=part.blob.digest, current=total, total=total))

    async def _watch(self, unpacking: Unpacking, part: Part) -> None:
        """Follow the worker's reports until it is done."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        # A loop may call twice for one report. Waiting in read() for the next would hold up the very download that the
        # worker waits for.
        os.set_blocking(unpacking.fileno(), False)
        loop.add_reader(unpacking.fileno(), ready.set)
        try:
            while True:
                await ready.wait()
                ready.clear()
                if unpacking.take():
                    break
                self.progress(
                    Event(kind="unpacking", digest=part.blob.digest, current=unpacking.read, total=part.blob.size)
                )
        except Error as error:
            raise self._located(error, part.blob.digest) from None
        finally:
            loop.remove_reader(unpacking.fileno())
        self.progress(Event(kind="unpacked", digest=part.blob.digest, current=part.blob.size, total=part.blob.size))


async def _uninterrupted(function: Callable[..., T], *arguments: Any) -> T:
    """Run a blocking function in a thread, to its end even when this task is cancelled meanwhile: what it uses must
    outlive it.
    """
    running = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise

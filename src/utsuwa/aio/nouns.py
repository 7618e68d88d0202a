"""The containers, images, networks and volumes of an engine, for asynchronous programs."""

from __future__ import annotations

import asyncio

from utsuwa.aio.container import Container
from utsuwa.aio.process import Process
from utsuwa.aio.threads import call, made, reporting
from utsuwa.library.images import Image, image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from os import PathLike
    from types import TracebackType
    from typing import Unpack

    from utsuwa.image.pull import Event
    from utsuwa.image.push import Event as PushEvent
    from utsuwa.library import container, containers, images, networks, volumes
    from utsuwa.library.networks import Network
    from utsuwa.library.options import Command, Options
    from utsuwa.library.output import Output
    from utsuwa.library.volumes import StoredVolume

    List = list  # within the classes, list is a method


class Starting:
    """A start under way: ``await`` it for the container, or enter it with ``async with``, which removes that."""

    def __init__(self, start: Callable[[], container.Container]) -> None:
        """For the library's own use."""
        self._start = start
        self._container: Container | None = None

    def __await__(self) -> Generator[object, None, Container]:
        return self._begin().__await__()

    async def __aenter__(self) -> Container:
        self._container = await self._begin()
        return self._container

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._container is not None
        await self._container.__aexit__(kind, error, trace)

    async def _begin(self) -> Container:
        return Container(await made(self._start, _remove))


async def _remove(blocking: container.Container) -> None:
    await Container(blocking).__aexit__(None, None, None)


class Containers:
    """Made, found, listed."""

    def __init__(self, blocking: containers.Containers) -> None:
        """``blocking`` is the same for threads."""
        self.blocking = blocking

    async def get(self, name: str) -> Container:
        """The container of a name, an id, or the beginning of one. Raises NotFound."""
        return Container(await call(self.blocking.get, name))

    async def list(self, *, all: bool = False) -> List[Container]:
        """Those that run, or all, the newest first."""
        return [Container(each) for each in await call(self.blocking.list, all=all)]

    def create(
        self, image: str, command: Command = (), *, pull: str = "missing", **options: Unpack[Options]
    ) -> Starting:
        """Make a container, without a process yet; to be awaited, or entered with ``async with``."""
        return Starting(lambda: self.blocking.create(image, command, pull=pull, **options))

    def start(
        self, image: str, command: Command = (), *, pull: str = "missing", **options: Unpack[Options]
    ) -> Starting:
        """Start a container, which lives on by itself; to be awaited, or entered with ``async with``."""
        return Starting(lambda: self.blocking.start(image, command, pull=pull, **options))

    async def run(
        self,
        image: str,
        command: Command = (),
        *,
        input: bytes | str | None = None,
        check: bool = True,
        timeout: float | None = None,
        pull: str = "missing",
        **options: Unpack[Options],
    ) -> Output:
        """Run a container to its end, and give what it printed; nothing of it remains, also when the task is cancelled.

        See :meth:`utsuwa.library.containers.Containers.run` for what is raised.
        """
        foreground = await made(
            lambda: self.blocking.begin(image, command, stdin=input is not None, pull=pull, options=options),
            lambda begun: call(self.blocking.discard, begun.record.id),
        )
        try:
            process = Process(foreground.connection, foreground.record.command)
            try:
                output = await process.communicate(input, timeout)
            finally:
                process.close()
        except BaseException:
            await asyncio.shield(call(self.blocking.discard, foreground.record.id))
            raise
        return output.checked(f"container of {image}") if check else output


class Images:
    """The images of an engine."""

    def __init__(self, blocking: images.Images) -> None:
        """``blocking`` is the same for threads."""
        self.blocking = blocking

    async def pull(
        self, name: str, *, platform: str | None = None, progress: Callable[[Event], None] | None = None
    ) -> Image:
        """Bring an image from its registry. ``progress`` is called with every piece of news, in the event loop.

        A task that is cancelled stops the pull.
        """
        if self.blocking.services.envoy:
            return await reporting(lambda told: self.blocking.pull(name, platform=platform, progress=told), progress)
        return image(await self.blocking.pulling(name, platform, progress))

    async def push(
        self, name: str, *, platform: str | None = None, progress: Callable[[PushEvent], None] | None = None
    ) -> str:
        """Send an image to the registry that its name says; the digest it has there."""
        if self.blocking.services.envoy:
            return await reporting(lambda told: self.blocking.push(name, platform=platform, progress=told), progress)
        return await self.blocking.pushing(name, progress, platform)

    async def get(self, name: str) -> Image:
        """The image of a name or an id (or its beginning). Raises NotFound."""
        return await call(self.blocking.get, name)

    async def list(self) -> List[Image]:
        """All of them, the newest first."""
        return await call(self.blocking.list)

    async def load(self, path: str) -> List[Image]:
        """The images of an OCI layout, a tar archive or a directory, brought into the store."""
        return await call(self.blocking.load, path)

    async def build(
        self,
        context: str | PathLike[str],
        *,
        tags: Sequence[str] = (),
        dockerfile: str = "",
        target: str = "",
        arguments: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        secrets: Mapping[str, bytes] | None = None,
        platform: str | None = None,
        cache: bool = True,
        pull: bool = False,
        network: str = "default",
        hosts: Sequence[str] = (),
        contexts: Mapping[str, str] | None = None,
        agents: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> Image:
        """Build an image from a directory with a Dockerfile; see :meth:`utsuwa.library.images.Images.build`.

        ``progress`` is called in the event loop. The build of a task that is cancelled goes on.
        """
        loop = asyncio.get_running_loop()

        def report(line: str) -> None:
            if progress:
                loop.call_soon_threadsafe(progress, line)

        return await call(
            self.blocking.build,
            context,
            tags=tags,
            dockerfile=dockerfile,
            target=target,
            arguments=arguments,
            labels=labels,
            secrets=secrets,
            platform=platform,
            cache=cache,
            pull=pull,
            network=network,
            hosts=hosts,
            contexts=contexts,
            agents=agents,
            annotations=annotations,
            progress=report if progress else None,
        )

    async def tag(self, source: str, target: str) -> None:
        """Give an image another name."""
        await call(self.blocking.tag, source, target)

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Take a name from an image, and with its last name the image itself."""
        await call(self.blocking.remove, name, force=force)


class Networks:
    """The networks of an engine."""

    def __init__(self, blocking: networks.Networks) -> None:
        """``blocking`` is the same for threads."""
        self.blocking = blocking

    async def create(
        self,
        name: str,
        *,
        driver: str = "bridge",
        subnet: str | Sequence[str] = (),
        gateway: str | Sequence[str] = (),
        ip_range: str | Sequence[str] = (),
        ipv6: bool = False,
        internal: bool = False,
        labels: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Network:
        """Make a network; see :meth:`utsuwa.library.networks.Networks.create`."""
        return await call(
            self.blocking.create,
            name,
            driver=driver,
            subnet=subnet,
            gateway=gateway,
            ip_range=ip_range,
            ipv6=ipv6,
            internal=internal,
            labels=labels,
            options=options,
        )

    async def get(self, name: str) -> Network:
        """The network of a name, an id, or the beginning of one. Raises NotFound."""
        return await call(self.blocking.get, name)

    async def list(self) -> List[Network]:
        """All of them, those that are always there too."""
        return await call(self.blocking.list)

    async def remove(self, name: str) -> None:
        """Remove one. Raises Conflict while a container that runs is in it, NotFound when there is none."""
        await call(self.blocking.remove, name)

    async def connect(self, network: str, container: str | Container) -> None:
        """Put a container into one more network, at once if it runs; ``network`` as for ``network=``."""
        await call(self.blocking.connect, network, _blocking(container))

    async def disconnect(self, network: str, container: str | Container, *, force: bool = False) -> None:
        """Take a container out of a network, at once if it runs. Raises FailedPrecondition when it is not in it."""
        await call(self.blocking.disconnect, network, _blocking(container), force=force)

    async def prune(self) -> List[str]:
        """Remove those that no container wants, running or not; their names."""
        return await call(self.blocking.prune)


def _blocking(found: str | Container) -> str:
    return found.id if isinstance(found, Container) else found


class Volumes:
    """The volumes of an engine."""

    def __init__(self, blocking: volumes.Volumes) -> None:
        """``blocking`` is the same for threads."""
        self.blocking = blocking

    async def create(self, name: str = "", *, labels: Mapping[str, str] | None = None) -> StoredVolume:
        """Make a volume, or find the one of that name; without a name it gets one that nobody has."""
        return await call(self.blocking.create, name, labels=labels)

    async def get(self, name: str) -> StoredVolume:
        """The volume of a name. Raises NotFound."""
        return await call(self.blocking.get, name)

    async def list(self) -> List[StoredVolume]:
        """All of them."""
        return await call(self.blocking.list)

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Remove one. Raises Conflict when a container has it, NotFound (unless ``force``) when there is none."""
        await call(self.blocking.remove, name, force=force)

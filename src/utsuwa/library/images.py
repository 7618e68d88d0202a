"""Images in the hands of a Python program."""

from __future__ import annotations

import os
import sys

from utsuwa.engine.images import with_tag
from utsuwa.errors import InvalidArgument, NotFound
from utsuwa.library.envoy import indoors, indoors_by_pieces
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
    from os import PathLike
    from typing import Any, TypeVar

    from utsuwa.image import store
    from utsuwa.image.pull import Event
    from utsuwa.image.push import Event as PushEvent
    from utsuwa.library.services import Services

    T = TypeVar("T")
    List = list  # within the class, list is a method

POLICIES = ("always", "missing", "never")


class Image(Record):
    """An image in the store: ``id`` is its configuration's digest, ``tags`` and ``digests`` are its names as people
    write them, ``size`` the bytes of all its files, ``created`` Unix seconds.
    """

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    size: int
    created: int
    labels: dict[str, str]


class Images:
    """The images of an engine."""

    def __init__(self, services: Services) -> None:
        """For the library's own use."""
        self.services = services

    def pull(self, name: str, *, platform: str | None = None, progress: Callable[[Event], None] | None = None) -> Image:
        """Bring an image from its registry. ``progress`` is called with every piece of news, in the thread that
        pulls.

        Raises NotFound, PermissionDenied, Unavailable, naming registry and repository.
        """
        return self._pull(name, platform, progress or _ignore)

    @indoors
    def _pull(self, name: str, platform: str | None, progress: Callable[[Event], None]) -> Image:
        return image(run_apart(self.pulling(name, platform, progress)))

    def pulling(
        self, name: str, platform: str | None, progress: Callable[[Event], None] | None
    ) -> Coroutine[Any, Any, store.Image]:
        """The work of ``pull``, for an event loop."""
        from utsuwa.image.pull import pull
        from utsuwa.spec import platform as platforms

        wanted = platforms.parse(platform) if platform else None
        return pull(self.services.images.store, with_tag(name), wanted, progress)

    def push(
        self, name: str, *, platform: str | None = None, progress: Callable[[PushEvent], None] | None = None
    ) -> str:
        """Send an image to the registry that its name says; the digest it has there. A name of several platforms sends
        all of them and an index, or with ``platform`` that one. Raises NotFound, PermissionDenied, Unavailable.
        """
        return self._push(name, platform, progress or _ignore)

    @indoors
    def _push(self, name: str, platform: str | None, progress: Callable[[PushEvent], None]) -> str:
        return run_apart(self.pushing(name, progress, platform))

    def pushing(
        self, name: str, progress: Callable[[PushEvent], None] | None, platform: str | None = None
    ) -> Coroutine[Any, Any, str]:
        """The work of ``push``, for an event loop."""
        from utsuwa.image.push import push
        from utsuwa.spec import platform as platforms
        from utsuwa.spec import reference

        wanted = platforms.parse(platform) if platform else None
        return push(self.services.images.store, reference.parse(name).tagged(), progress or _ignore, platform=wanted)

    @indoors
    def get(self, name: str) -> Image:
        """The image of a name or an id (or its beginning). Raises NotFound."""
        return image(self.services.images.resolve(name))

    @indoors
    def list(self) -> List[Image]:
        """All of them, the newest first."""
        return [image(each) for each in self.services.images.store.list()]

    @indoors
    def load(self, path: str) -> List[Image]:
        """The images of what ``save`` has written, or of an OCI layout, a tar archive or a directory."""
        from utsuwa.image.load import load

        return [image(found) for found, _names in load(self.services.images.store, path)]

    def build(
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
        """Build an image from a directory with a Dockerfile, a git repository, or the URL of an archive. ``progress``
        is called with every line that there is to say.

        ``platform``: also several, with commas between. ``network`` of RUN: default, none or host; ``hosts`` lines
        ``NAME:ADDRESS`` for it. ``contexts``: further ones by name. ``agents``: sockets of ssh agents by id.
        Raises Fault (InvalidArgument) for what the Dockerfile says, StepFailed with the ``output`` of the step that
        failed.
        """
        from utsuwa.build.request import Secret
        from utsuwa.spec import platform as platforms

        wanted = [platforms.parse(each) for each in platform.split(",")] if platform else []
        return self._build(
            os.fspath(context),
            dockerfile,
            progress,
            sys.stdin.buffer.read() if self.services.envoy and "-" in (context, dockerfile) else None,
            pull=pull,
            tags=tuple(tags),
            target=target,
            arguments=dict(arguments or {}),
            labels=dict(labels or {}),
            secrets=tuple(Secret(id=name, data=data) for name, data in (secrets or {}).items()),
            platform=wanted[0] if wanted else None,
            platforms=tuple(wanted) if len(wanted) > 1 else (),
            use_cache=cache,
            network=network,
            hosts=tuple(hosts),
            named=dict(contexts or {}),
            agents=dict(agents or {}),
            annotations=dict(annotations or {}),
        )

    @indoors
    def _build(
        self,
        context: str,
        dockerfile: str,
        report: Callable[[str], None] | None,
        stdin: bytes | None,
        /,
        **fields: Any,
    ) -> Image:
        from utsuwa.library.building import build

        return image(build(self.services, self, context, dockerfile, report, stdin, **fields))

    @indoors_by_pieces
    def save(self, *names: str, platform: str | None = None) -> Iterator[bytes]:
        """Images as one tar archive, in chunks, for ``load`` here and elsewhere; all platforms of a name, or one.

        Raises NotFound.
        """
        from utsuwa.image.save import save
        from utsuwa.spec import platform as platforms

        return save(self.services.images.store, names, platforms.parse(platform) if platform else None)

    @indoors
    def tag(self, source: str, target: str) -> None:
        """Give an image another name."""
        self.services.images.store.tag(source, target)

    @indoors
    def remove(self, name: str, *, force: bool = False) -> None:
        """Take a name from an image, and with its last name the image itself. Raises NotFound, and Conflict when a
        container uses it.
        """
        from utsuwa.image.remove import remove

        services = self.services
        uses = services.images.uses(services.containers)
        services.images.resolve(name)
        remove(services.images.store, name, uses, force)

    def ensure(self, name: str, policy: str = "missing") -> None:
        """Have the image here: ``policy`` is one of "always", "missing" and "never" (pulled)."""
        if policy not in POLICIES:
            raise InvalidArgument(f"pull: expected one of {', '.join(POLICIES)}, found {policy!r}")
        if policy == "always" or (policy == "missing" and not self._has(name)):
            self.pull(name)

    def _has(self, name: str) -> bool:
        try:
            self.get(name)
        except NotFound:
            return False
        return True


def image(found: store.Image) -> Image:
    """What programs are shown of an image."""
    labels = dict(found.config.settings.Labels or {})
    return Image(
        id=found.id, tags=found.names, digests=found.digests, size=found.size, created=found.created, labels=labels
    )


def _ignore(_event: object) -> None:
    """An ordinary user's program is told even so: when it is interrupted it stops to listen, which stops the work."""


def run_apart(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives; in a thread of its own where this one runs an event loop already (a notebook's)."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()

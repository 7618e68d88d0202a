"""The engine in the hands of an asynchronous program."""

from __future__ import annotations

from utsuwa.aio.nouns import Containers, Images, Networks, Starting, Volumes
from utsuwa.library import engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import PathLike
    from typing import Unpack

    from utsuwa.library.options import Command, Options
    from utsuwa.library.output import Output


class Engine:
    """The containers and images below a pair of directories. It belongs to no event loop: any may use it."""

    def __init__(self, root: str | PathLike[str] | None = None, run: str | PathLike[str] | None = None) -> None:
        """``root`` and ``run`` as for :class:`utsuwa.Engine`."""
        self.blocking = engine.Engine(root, run)
        self.images = Images(self.blocking.images)
        self.containers = Containers(self.blocking.containers)
        self.networks = Networks(self.blocking.networks)
        self.volumes = Volumes(self.blocking.volumes)

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
        """Run a container to its end, and give what it printed; see :meth:`Containers.run`."""
        return await self.containers.run(
            image, command, input=input, check=check, timeout=timeout, pull=pull, **options
        )

    def start(
        self, image: str, command: Command = (), *, pull: str = "missing", **options: Unpack[Options]
    ) -> Starting:
        """Start a container, which lives on by itself; see :meth:`Containers.start`."""
        return self.containers.start(image, command, pull=pull, **options)

"""The engine in the hands of a Python program: no daemon, it runs in the program's own process."""

from __future__ import annotations

from utsuwa.engine.events import events
from utsuwa.library.containers import Containers
from utsuwa.library.images import Images
from utsuwa.library.networks import Networks
from utsuwa.library.services import Services
from utsuwa.library.volumes import Volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from os import PathLike
    from typing import Any, Unpack

    from utsuwa.library.container import Container
    from utsuwa.library.options import Command, Options
    from utsuwa.library.output import Output


class Engine:
    """The containers and images below a pair of directories; several engines and programs may share them.

    It may be used from several threads at once.
    """

    def __init__(self, root: str | PathLike[str] | None = None, run: str | PathLike[str] | None = None) -> None:
        """``root`` holds what outlives a reboot, ``run`` what does not; by default those of the environment's
        UTSUWA_ROOT and UTSUWA_RUN, or the command line's: /var/lib/utsuwa and /run/utsuwa, or those of an ordinary
        user.
        """
        self.services = Services(_text(root), _text(run))
        self.images = Images(self.services)
        self.containers = Containers(self.services, self.images)
        self.networks = Networks(self.services)
        self.volumes = Volumes(self.services)

    def run(
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
        return self.containers.run(image, command, input=input, check=check, timeout=timeout, pull=pull, **options)

    def start(
        self, image: str, command: Command = (), *, pull: str = "missing", **options: Unpack[Options]
    ) -> Container:
        """Start a container, which lives on by itself; see :meth:`Containers.start`."""
        return self.containers.start(image, command, pull=pull, **options)

    def events(self, *, since: float | None = None, until: float | None = None) -> Iterator[Mapping[str, Any]]:
        """What is done to containers, as Docker's API tells it, from ``since`` to ``until`` (seconds since 1970).

        Without ``since`` only what is still to come, without ``until`` for ever.
        """
        return events(self.services.paths.run, since, until)


def _text(path: str | PathLike[str] | None) -> str | None:
    return None if path is None else str(path)

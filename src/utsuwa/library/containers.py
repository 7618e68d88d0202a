"""The containers of an engine."""

from __future__ import annotations

from typing import NamedTuple

from utsuwa.errors import NotFound
from utsuwa.library import options as choices
from utsuwa.library.container import Container
from utsuwa.library.process import Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.library.images import Images
    from utsuwa.library.options import Command, Options
    from utsuwa.library.output import Output
    from utsuwa.library.services import Services
    from utsuwa.monitor.client import Connection
    from utsuwa.spec.request import RunRequest

    List = list  # within the class, list is a method


class Foreground(NamedTuple):
    """A container of ``run`` that has been started; ``discard`` removes it, for when something goes wrong."""

    connection: Connection
    command: tuple[str, ...]
    discard: Callable[[], None]


class Containers:
    """Made, found, listed."""

    def __init__(self, services: Services, images: Images) -> None:
        """For the library's own use."""
        self._services, self._images = services, images

    def get(self, name: str) -> Container:
        """The container of a name, an id, or the beginning of one. Raises NotFound."""
        return Container(self._services, self._services.containers.find(name))

    def list(self, *, all: bool = False) -> List[Container]:
        """Those that run, or all, the newest first."""
        found = self._services.containers.list(everything=all)
        return [Container(self._services, record) for record, _status in found]

    def create(
        self, image: str, command: Command = (), *, pull: str = "missing", **options: Unpack[Options]
    ) -> Container:
        """Make a container, without a process yet; see ``run`` for what is raised."""
        return Container(self._services, self._make(choices.request(image, command, options, detach=True), pull))

    def start(
        self, image: str, command: Command = (), *, pull: str = "missing", **options: Unpack[Options]
    ) -> Container:
        """Start a container, which lives on by itself; best used in a ``with``. See ``run`` for what is raised."""
        record = self._make(choices.request(image, command, options, detach=True), pull)
        try:
            self._services.containers.start(record).close()
        except BaseException:
            self._discard(record)
            raise
        return Container(self._services, record)

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
        """Run a container to its end, and give what it printed; nothing of it remains.

        ``pull`` is "missing", "always" or "never". Raises NotFound without the image, Conflict for a name that is
        taken, InvalidArgument and Unsupported for options, ProcessFailed (unless ``check`` is False) when the command
        ends badly, TimedOut after ``timeout`` seconds. When anything is raised, the container has been removed.
        """
        begun = self.begin(image, command, stdin=input is not None, pull=pull, options=options)
        try:
            process = Process(begun.connection, begun.command)
            try:
                output = process.communicate(input, timeout)
            finally:
                process.close()
        except BaseException:
            begun.discard()
            raise
        return output.checked(f"container of {image}") if check else output

    def begin(self, image: str, command: Command, *, stdin: bool, pull: str, options: Options) -> Foreground:
        """The first half of ``run``."""
        fixed = {"auto_remove": True, "stdin_open": stdin or options.get("stdin_open", False)}
        record = self._make(choices.request(image, command, options, **fixed), pull)
        try:
            connection = self._services.containers.start(record, attach=True)
        except BaseException:
            self._discard(record)
            raise
        return Foreground(connection, record.command, lambda: self._discard(record))

    def _make(self, request: RunRequest, pull: str) -> ContainerRecord:
        """Create it, and pull its image first where that is asked for, or where it turns out to be missing."""
        if pull != "missing":
            self._images.ensure(request.image, pull)
        try:
            return self._services.containers.create(request, started_by_maker=True)
        except NotFound as error:
            if pull != "missing" or not str(error).startswith("No such image"):
                raise
        self._images.pull(request.image)
        return self._services.containers.create(request, started_by_maker=True)

    def _discard(self, record: ContainerRecord) -> None:
        try:
            self._services.containers.remove(self._services.containers.find(record.id), force=True, volumes=True)
        except NotFound:
            pass

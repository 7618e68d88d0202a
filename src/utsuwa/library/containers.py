"""The containers of an engine."""

from __future__ import annotations

from typing import NamedTuple

from utsuwa.errors import NotFound
from utsuwa.library import options as choices
from utsuwa.library.container import Container
from utsuwa.library.envoy import indoors, made_indoors
from utsuwa.library.process import Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar, Unpack

    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.library.images import Images
    from utsuwa.library.options import Command, Options
    from utsuwa.library.output import Output
    from utsuwa.library.services import Services
    from utsuwa.monitor.client import Connection
    from utsuwa.spec.request import RunRequest

    T = TypeVar("T")
    List = list  # within the class, list is a method


class Foreground(NamedTuple):
    """A container of ``run`` that has been started."""

    connection: Connection
    record: ContainerRecord


def _take_back(containers: Containers, made: Container | Foreground) -> None:
    if isinstance(made, Foreground):
        made.connection.close()
    containers.discard(made.id if isinstance(made, Container) else made.record.id)


class Containers:
    """Made, found, listed."""

    def __init__(self, services: Services, images: Images) -> None:
        """For the library's own use."""
        self.services, self._images = services, images

    @indoors
    def get(self, name: str) -> Container:
        """The container of a name, an id, or the beginning of one. Raises NotFound."""
        return Container(self.services, self.services.containers.find(name))

    @indoors
    def list(self, *, all: bool = False) -> List[Container]:
        """Those that run, or all, the newest first."""
        found = self.services.containers.list(everything=all)
        return [Container(self.services, record) for record, _status in found]

    def create(
        self, image: str, command: Command = (), *, pull: str = "missing", **options: Unpack[Options]
    ) -> Container:
        """Make a container, without a process yet; see ``run`` for what is raised."""
        request = choices.request(image, command, options, detach=True)
        return self._with_image(request.image, pull, lambda: self._created(request))

    def start(
        self, image: str, command: Command = (), *, pull: str = "missing", **options: Unpack[Options]
    ) -> Container:
        """Start a container, which lives on by itself; best used in a ``with``. See ``run`` for what is raised."""
        request = choices.request(image, command, options, detach=True)
        return self._with_image(request.image, pull, lambda: self._started(request))

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
            process = Process(begun.connection, begun.record.command)
            try:
                output = process.communicate(input, timeout)
            finally:
                process.close()
        except BaseException:
            self.discard(begun.record.id)
            raise
        return output.checked(f"container of {image}") if check else output

    def begin(self, image: str, command: Command, *, stdin: bool, pull: str, options: Options) -> Foreground:
        """The first half of ``run``."""
        fixed = {"auto_remove": True, "stdin_open": stdin or options.get("stdin_open", False)}
        request = choices.request(image, command, options, **fixed)
        return self._with_image(request.image, pull, lambda: self._begun(request))

    @indoors
    def discard(self, identifier: str) -> None:
        """Remove a container of ``run``, when something went wrong; it may have gone by itself."""
        try:
            self.services.containers.remove(self.services.containers.find(identifier), force=True, volumes=True)
        except NotFound:
            pass

    @made_indoors(_take_back)
    def _created(self, request: RunRequest) -> Container:
        return Container(self.services, self._make(request))

    @made_indoors(_take_back)
    def _started(self, request: RunRequest) -> Container:
        connection, record = self._start(request, attach=False)
        connection.close()
        return Container(self.services, record)

    @made_indoors(_take_back)
    def _begun(self, request: RunRequest) -> Foreground:
        return self._start(request, attach=True)

    def _start(self, request: RunRequest, *, attach: bool) -> Foreground:
        record = self._make(request)
        try:
            return Foreground(self.services.containers.start(record, attach=attach), record)
        except BaseException:
            self.discard(record.id)
            raise

    def _make(self, request: RunRequest) -> ContainerRecord:
        return self.services.containers.create(request, started_by_maker=True)

    def _with_image(self, image: str, pull: str, make: Callable[[], T]) -> T:
        """What ``make`` gives; the image is pulled first where that is asked for, or where it turns out to be
        missing.
        """
        if pull != "missing":
            self._images.ensure(image, pull)
        try:
            return make()
        except NotFound as error:
            if pull != "missing" or not str(error).startswith("No such image"):
                raise
        self._images.pull(image)
        return make()

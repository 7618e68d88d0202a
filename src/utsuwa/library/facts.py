"""What a container is, as programs see it whether they block or not: short looks at small files."""

from __future__ import annotations

import os

from utsuwa.engine import recovery
from utsuwa.library.envoy import indoors
from utsuwa.monitor.records import RUN_FILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.paths import Paths
    from utsuwa.engine.status import Status
    from utsuwa.library.services import Services


class Facts:
    """One container, running or not. It holds no state but the id: every question is answered from what is true at
    that moment, and raises NotFound once the container has been removed.
    """

    def __init__(self, services: Services, known: ContainerRecord | Facts) -> None:
        """For the library's own use; programs get containers from an engine."""
        self.services = services
        self.id: str = known.id
        self.name: str = known.name
        self.image: str = known.image
        self.command: tuple[str, ...] = known.command

    def __repr__(self) -> str:
        return f"<Container {self.name} {self.id[:12]}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def status(self) -> str:
        """In Docker's words: "created", "running", "paused", "restarting", "exited"."""
        return self._status().name

    @property
    def running(self) -> bool:
        """There is a process, be it paused."""
        return self._status().alive

    @property
    def pid(self) -> int:
        """The container's first process as the host numbers it, 0 when there is none."""
        return self._status().pid

    @property
    def exit_code(self) -> int | None:
        """How the last run ended, None when there was none or it goes on."""
        ended = self._status()
        return ended.code if ended.exit is not None and not ended.alive else None

    @property
    def health(self) -> str:
        """What its healthchecks say: "starting", "healthy", "unhealthy"; "" when there are none."""
        return self._status().health

    @property
    def labels(self) -> dict[str, str]:
        """Those of the image and its own."""
        return dict(self.record().labels)

    @indoors
    def record(self) -> ContainerRecord:
        """What the engine has written down of it. Raises NotFound."""
        return self.services.containers.find(self.id)

    def settle(self, _paths: Paths, record: ContainerRecord, status: Status) -> None:
        """Finish what a monitor that was killed has left, where there is such a thing."""
        if os.path.exists(f"{self.services.paths.monitor(record.id)}/{RUN_FILE}"):
            self._settle(record, status)

    @indoors
    def _settle(self, record: ContainerRecord, status: Status) -> None:
        recovery.settle(self.services.paths, record, status)

    @indoors
    def _status(self) -> Status:
        return self.services.containers.status(self.record())

"""`urun pause` and `urun resume`: stop all processes of a container, and let them go on."""

from __future__ import annotations

from utsuwa.errors import FailedPrecondition
from utsuwa.runtime.record import CREATED, PAUSED, RUNNING, Container, Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.cgroup.manager import Manager


def pause(store: Store, identifier: str) -> None:
    """Freeze the container's cgroup. Raises FailedPrecondition unless it is running or created."""
    container = store.open(identifier)
    container.lock()
    try:
        if container.status() not in (RUNNING, CREATED):
            raise FailedPrecondition("container not running or created")
        _manager(container).freeze()
    finally:
        container.unlock()


def resume(store: Store, identifier: str) -> None:
    """Thaw the container's cgroup. Raises FailedPrecondition unless it is paused."""
    container = store.open(identifier)
    container.lock()
    try:
        manager = container.manager()
        created_and_frozen = container.status() == CREATED and manager is not None and manager.frozen()
        if container.status() != PAUSED and not created_and_frozen:
            raise FailedPrecondition("container not paused")
        _manager(container).thaw()
    finally:
        container.unlock()


def _manager(container: Container) -> Manager:
    manager = container.manager()
    if manager is None:
        raise FailedPrecondition(f"container {container.id} has no cgroup, which is what can be paused")
    return manager

"""`urun update`: new limits for a container that exists."""

from __future__ import annotations

from utsuwa.cgroup.journal import Journal
from utsuwa.errors import FailedPrecondition
from utsuwa.runtime.record import STOPPED, Container, Store
from utsuwa.spec.validate_linux import validate_resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.spec.runtime import Resources


def update(store: Store, identifier: str, resources: Resources, schemata: tuple[str, ...] = ()) -> None:
    """Write those limits that ``resources`` has; all others, and access to devices, stay as they are.

    If one can't be written, those that were are put back. ``schemata``: new lines for the container's class of service
    (resctrl).

    Raises NotFound, FailedPrecondition when the container is stopped or has no cgroup, InvalidArgument for the values.
    """
    memory = resources.memory
    if memory is not None and memory.limit is None:
        # What limits memory and swap together is held against the limit of memory that the cgroup has: by the kernel.
        validate_resources(resources.replace(memory=memory.replace(swap=None)), "")
    else:
        validate_resources(resources, "")
    container = store.open(identifier)
    container.lock()
    try:
        if container.status() == STOPPED:
            raise FailedPrecondition("container not running")
        manager = container.manager()
        if manager is None:
            raise FailedPrecondition(f"container {identifier} has no cgroup, which is what could be limited")
        with Journal() as journal:
            manager.apply(resources, devices=False, journal=journal)
            if schemata:
                _share_out(container, schemata)
    finally:
        container.unlock()


def _share_out(container: Container, schemata: tuple[str, ...]) -> None:
    rdt = container.document.rdt()
    if rdt is None:
        raise FailedPrecondition(f"container {container.id} has no class of service, create it with linux.intelRdt")
    rdt.share_out(schemata)

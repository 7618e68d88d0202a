"""`urun kill`: a signal for a container (runtime.md "Kill")."""

from __future__ import annotations

from utsuwa.errors import FailedPrecondition
from utsuwa.runtime.process import send
from utsuwa.runtime.record import STOPPED, Container, Store

_SIGKILL = 9


def kill(store: Store, identifier: str, number: int, everyone: bool = False) -> None:
    """Send signal ``number`` to the container's first process, or to ``everyone`` in its cgroup.

    SIGKILL reaches every process also where the pid namespace is shared: there the others survive the first one, and
    it may be gone already. Raises NotFound, FailedPrecondition ``container not running``.
    """
    container = store.open(identifier)
    if container.document.external:
        from utsuwa.runtime import foreign

        foreign.kill(container, number)
        return
    status = container.status()
    if everyone or (number == _SIGKILL and not container.document.ownPidNamespace):
        reached = _signal_cgroup(container, number)
        if reached or everyone:
            return
    if status == STOPPED:
        raise FailedPrecondition("container not running")
    document = container.document
    if not send(document.pid, document.startTime, number):
        raise FailedPrecondition("container not running")
    _thaw_to_die(container, number)


def _signal_cgroup(container: Container, number: int) -> bool:
    manager = container.manager()
    if manager is None or not manager.pids():
        return False
    manager.kill(number)
    return True


def _thaw_to_die(container: Container, number: int) -> None:
    """A process frozen by cgroup v1 would keep SIGKILL pending until somebody resumes it."""
    manager = container.manager()
    if number == _SIGKILL and manager is not None and manager.frozen():
        manager.thaw()

"""`urun delete`: remove what `create` made (runtime.md "Delete")."""

from __future__ import annotations

import os

from utsuwa.errors import Error, FailedPrecondition, NotFound
from utsuwa.runtime.process import await_end, send
from utsuwa.runtime.record import CREATED, CREATING, STOPPED, Container, Store, check_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_SIGKILL = 9
_PATIENCE = 10.0
"""Seconds to wait for a killed process: one in an uninterruptible sleep may never die."""


def delete(store: Store, identifier: str, force: bool = False) -> list[str]:
    """Remove a container that is stopped, or created; ``force`` ends it first in whatever state, and missing is fine.

    Gives warnings: the failures of poststop hooks. Raises NotFound, FailedPrecondition when it is running.
    """
    check_id(identifier)
    container = Container(f"{store.root}/{identifier}", identifier)
    try:
        if not container.try_lock():
            _interrupt(container, force)
            container.lock()
    except NotFound:
        if force:
            return []
        raise
    try:
        return _delete(container, force)
    finally:
        container.unlock()


def _interrupt(container: Container, force: bool) -> None:
    """Another verb is at work: wait for it, unless it is creating, which may take for ever in a hook."""
    if not container.load_if_possible() or container.status() != CREATING:
        return
    if not force:
        raise FailedPrecondition(f"cannot delete container {container.id} that is not stopped: {CREATING}")
    # Without its process the creator fails, cleans up, and lets go of the lock.
    send(container.document.pid, container.document.startTime, _SIGKILL)


def _delete(container: Container, force: bool) -> list[str]:
    if not container.load_if_possible():
        if not force and not os.listdir(container.path):
            raise NotFound(f"container {container.id} does not exist")
        container.remove()
        return []
    status = container.status()
    if status not in (STOPPED, CREATED) and not force:
        raise FailedPrecondition(f"cannot delete container {container.id} that is not stopped: {status}")
    return discard(container)


def discard(container: Container) -> list[str]:
    """End what still runs of a locked container, and remove every trace; warnings as :func:`delete` gives them."""
    if container.document is None:
        container.remove()
        return []
    end(container)
    poststop = _poststop(container)
    container.remove()
    return poststop() if poststop is not None else []


def end(container: Container) -> None:
    """Kill all processes of a container, wait until they are gone, and remove its cgroups."""
    document = container.document
    if document.external:
        from utsuwa.runtime import foreign

        foreign.forget(container)
    manager = container.manager()
    if send(document.pid, document.startTime, _SIGKILL) and manager is not None and manager.frozen():
        manager.kill(_SIGKILL)
    if not await_end(document.pid, document.startTime, _PATIENCE):
        raise FailedPrecondition(f"container {container.id}: process {document.pid} does not end after SIGKILL")
    rdt = document.rdt()
    if rdt is not None:
        rdt.remove()
    if manager is None or (not container.owns_cgroup() and manager.pids()):
        return
    if not document.ownPidNamespace:  # others may outlive the first process
        manager.kill(_SIGKILL)
    try:
        manager.remove()
    except FailedPrecondition:  # somebody from outside of the pid namespace was put there
        manager.kill(_SIGKILL)
        manager.remove()


def _poststop(container: Container) -> Callable[[], list[str]] | None:
    """What runs the poststop hooks, made while the configuration can still be read; None when there are none."""
    document = container.document
    if not document.poststop or not container.owns_cgroup():  # killed before anything of it existed
        return None
    from utsuwa.runtime import hooks

    try:
        poststop = hooks.of(container.spec(), "poststop")
    except Error as error:
        message = f"poststop hooks not run: {error}"
        return lambda: [message]
    return lambda: hooks.run_all("poststop", poststop, hooks.state_json(document, STOPPED, 0), document.bundle)

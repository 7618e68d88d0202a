"""Cleaning up after processes that were killed: makers, removers, monitors. Every verb that lists or removes calls it.

Nothing here needs a daemon or a clock: what has no living owner and can't go on is finished by whoever comes next.
"""

from __future__ import annotations

import os

from utsuwa.engine.status import CREATED, Status, being_started
from utsuwa.errors import Error
from utsuwa.monitor import journal
from utsuwa.monitor.ending import empty, forget_runtime, leave_networks
from utsuwa.monitor.records import EXIT_FILE, LASTING_FILE, Exit, is_locked, now, write
from utsuwa.runtime.process import start_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.engine.metadata import ContainerRecord, Metadata
    from utsuwa.engine.paths import Paths


def settle(paths: Paths, record: ContainerRecord, status: Status) -> None:
    """A container that ended without its monitor: free its cgroups, and write down what is known."""
    if status.alive or status.kept or status.exit is None:
        return
    directory = paths.monitor(record.id)
    if not os.path.exists(f"{directory}/run.json") or is_locked(directory):  # or its monitor is about to do so
        return
    forget_runtime(paths.run, record.id)
    forget_networks(paths, record.id)
    if status.exit.restarting:  # that is to be seen until somebody has done it
        return
    if not os.path.exists(f"{paths.container(record.id)}/{EXIT_FILE}") or status.exit.error:
        ended: Exit = status.exit.replace(finishedAt=status.exit.finishedAt or now())
        try:
            write(paths.container(record.id), EXIT_FILE, ended, durable=True)
        except OSError:
            return
        journal.note(paths.run, paths.container(record.id), "die", {"exitCode": str(status.code)})
    empty(directory, keep_lock=True)


def sweep(paths: Paths, metadata: Metadata, remove: Callable[[str], None]) -> None:
    """Remove what nobody will come back for. ``remove`` takes an id and removes every trace."""
    for identifier in metadata.abandoned():
        attempt(remove, identifier)
    _drop_dead_names(paths)
    for identifier in _names(f"{paths.run}/monitors"):
        directory = paths.monitor(identifier)
        if not os.path.exists(paths.container(identifier)) and not is_locked(directory):
            forget_runtime(paths.run, identifier)
            empty(directory, keep_lock=False)
    for identifier in _names(paths.runtime):  # a build's have other names, and are its own to end
        is_ours = len(identifier) == 64 and not os.path.exists(paths.container(identifier))
        if is_ours and not is_locked(paths.monitor(identifier)):
            forget_runtime(paths.run, identifier)


def attempt(remove: Callable[[str], None], identifier: str) -> None:
    """Remove a container that somebody else has left. What can't be removed waits for the next who comes by: it must
    not be in the way of who asks for other containers.
    """
    try:
        remove(identifier)
    except (Error, OSError):
        return


def is_orphan(record: ContainerRecord, status: Status) -> bool:
    """A container that was to go with its end, has ended (or never began), and has nobody left to remove it."""
    if not record.autoRemove or status.alive or status.kept:
        return False
    if status.name == CREATED and status.exit is None:
        return bool(record.maker) and not being_started(record)
    return bool(status.monitor) or not being_started(record)


def is_awaited(paths: Paths, record: ContainerRecord) -> bool:
    """Somebody who lives has stopped the container to start it again."""
    try:
        with open(f"{paths.container(record.id)}/{LASTING_FILE}", "rb", buffering=0) as file:
            pid, started = map(int, file.read().split())
    except (OSError, ValueError):
        return False
    return start_time(pid) == started


def _drop_dead_names(paths: Paths) -> None:
    owned: dict[str, list[str]] = {}
    for name in _names(paths.names):
        link = f"{paths.names}/{name}"
        try:
            identifier = os.readlink(link)
            if os.path.exists(paths.container(identifier)):
                owned.setdefault(identifier, []).append(name)
            else:
                os.unlink(link)
        except OSError:
            continue
    if any(len(names) > 1 for names in owned.values()):
        from utsuwa.engine.renaming import repair

        repair(paths, owned)


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def forget_networks(paths: Paths, identifier: str) -> None:
    """Give back what a container has of networks; there may be none."""
    if os.path.isdir(f"{paths.run}/networks"):
        from utsuwa.network.state import Places

        leave_networks(Places(paths.root, paths.run), identifier)


def discard(paths: Paths, identifier: str, remove_snapshot: Callable[[str], None], wait: bool = False) -> None:
    """Remove every trace of a container. Can be repeated after any interruption; container.json goes first.

    ``wait`` for who changes its record just now; else it stays, and somebody sweeps it up later.
    """
    from utsuwa.monitor.ending import remove_files

    try:
        forget_runtime(paths.run, identifier)
    except Error:
        pass
    forget_networks(paths, identifier)
    remove_files(paths.container(identifier), lambda: remove_snapshot(identifier), wait)
    empty(paths.monitor(identifier), keep_lock=False)

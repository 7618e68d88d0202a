"""The end of a container: what happened to it, and nothing of it left behind.

Used by the monitor when the process has ended, and by the engine for containers whose monitor was killed.
"""

from __future__ import annotations

import os
from fcntl import LOCK_EX, LOCK_NB, flock

from utsuwa.errors import Error
from utsuwa.monitor import journal
from utsuwa.monitor.records import LASTING_FILE, Start, places_of, runtime_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.network.state import Places
    from utsuwa.spec.mount import Mount

_TIMES = 3
"""How often a directory is emptied in which somebody else may still write: one file, and once."""


def clean(start: Start, monitor_directory: str) -> None:
    """Remove what only a running container needs; with ``start.remove``, all of it."""
    forget_run(start)
    remove = start.remove and not os.path.exists(f"{start.directory}/{LASTING_FILE}")
    if remove:
        journal.note(start.run, start.directory, "destroy")  # while its names are known
        remove_files(start.directory, lambda: _remove_trees(start))
    empty(monitor_directory, keep_lock=not remove)


def forget_run(start: Start) -> None:
    """Remove what one run of a container had: cgroups, the runtime's record, its places in networks."""
    forget_runtime(start.run, start.id)
    if start.networks:
        leave_networks(places_of(start), start.id)


def leave_networks(places: Places, identifier: str) -> None:
    """Give addresses and ports back, and remove the container's interfaces."""
    from utsuwa.network.plug import leave, unplug

    try:
        unplug(places, leave(places, identifier))
        if os.path.isdir(places.plugged):
            from utsuwa.network.cni import membership

            membership.leave(places, identifier)
    except Error:  # recovery looks for what is left
        pass


def forget_runtime(run: str, identifier: str) -> None:
    """Kill what still runs, and remove the cgroups and the runtime's record; there may be none."""
    from utsuwa.runtime.delete import delete
    from utsuwa.runtime.record import Store

    try:
        delete(Store(runtime_root(run)), identifier, force=True)
    except Error:  # the engine tries again when the container is removed, and tells somebody then
        pass


def _remove_trees(start: Start) -> None:
    if start.volumes:
        from utsuwa.monitor.volumes import release
        from utsuwa.snapshot.tree import remove

        for directory in start.volumes:
            if not release(start.run, directory, start.id) and directory.startswith(f"{start.snapshots}/"):
                remove(directory)
    if start.snapshots:
        from utsuwa.snapshot.keyed import KeyedSnapshots  # every snapshotter removes alike

        KeyedSnapshots(start.snapshots).remove(start.id)


def remove_files(directory: str, remove_trees: Callable[[], None], wait: bool = False) -> bool:
    """Remove a container's directory ROOT/containers/ID with all that is in it, its name, and its trees.

    The order makes every interruption visible: without its container.json a directory is somebody's to remove. The
    lock keeps two removers apart, and who changes the record; False when somebody is at work,
    unless that is waited for.
    """
    from utsuwa.snapshot.tree import remove

    try:
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        remove_trees()
        return True
    try:
        flock(lock, LOCK_EX if wait else LOCK_EX | LOCK_NB)
        release_name(directory)
        try:
            os.unlink(f"{directory}/container.json")
        except FileNotFoundError:
            pass
        remove_trees()
        if os.path.lexists(directory):
            remove(directory)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def release_name(directory: str) -> None:
    """Give the container's name back: ROOT/names/NAME is a symbolic link to its id."""
    from utsuwa.spec.codec import parse

    try:
        with open(f"{directory}/container.json", "rb", buffering=0) as file:
            name = parse(file.read())["name"]
        link = f"{os.path.dirname(os.path.dirname(directory))}/names/{name}"
        if os.readlink(link) == os.path.basename(directory):
            os.unlink(link)
    except (OSError, Error, KeyError):
        return


def empty(monitor_directory: str, keep_lock: bool) -> None:
    """Remove the run's files. The lock stays with a container that can start again: a new file would be another
    lock.
    """
    from utsuwa.monitor.records import LOCK_FILE

    for _ in range(_TIMES):
        try:
            for name in os.listdir(monitor_directory):
                if not (keep_lock and name == LOCK_FILE):
                    _unlink(f"{monitor_directory}/{name}")
            if not keep_lock:
                os.rmdir(monitor_directory)
            return
        except OSError:  # somebody has put a file there meanwhile; or all of it is gone
            continue


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def empty_work(mounts: tuple[Mount, ...]) -> None:
    """Remove what overlayfs left in its working directory: it would do so at the next mount, when somebody waits."""
    for mount in mounts:
        work = mount.option("workdir")
        if work:
            try:
                os.rmdir(f"{work}/work")
            except OSError:
                continue


def was_out_of_memory(start: Start) -> bool:
    """Some process of the container was killed because the memory limit was reached; asked before its cgroups go."""
    from utsuwa.runtime.record import Store

    try:
        manager = Store(runtime_root(start.run)).open(start.id).manager()
    except Error:
        return False
    return manager is not None and manager.oom_kills() > 0

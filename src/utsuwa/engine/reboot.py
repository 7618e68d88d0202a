"""After a reboot, or a crash: what is left of another boot is forgotten, and what was to run for ever runs again."""

from __future__ import annotations

import os
from fcntl import LOCK_EX, flock

from utsuwa.errors import Error
from utsuwa.linux.host import boot
from utsuwa.monitor.restarts import ALWAYS, wants, was_stopped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from utsuwa.engine.containers import Containers
    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.paths import Paths
    from utsuwa.engine.status import Status

_SEEN, _RECOVERED = "boot", "recovered"
"""Files in RUN with the id of the boot that it is of, and of the one in which containers were last started again."""


def forget_other_boot(paths: Paths) -> None:
    """Where RUN outlives a reboot, its pids and locks mean other processes now: monitors and runtime records go."""
    now = boot()
    if _read(f"{paths.run}/{_SEEN}") == now or not os.path.isdir(paths.run):
        return
    lock = os.open(f"{paths.run}/{_SEEN}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        flock(lock, LOCK_EX)
        before = _read(f"{paths.run}/{_SEEN}")
        if before not in (b"", now):
            from utsuwa.snapshot.tree import remove

            for name in ("monitors", "runtime", "networks"):
                if os.path.lexists(f"{paths.run}/{name}"):
                    remove(f"{paths.run}/{name}")
        _write(f"{paths.run}/{_SEEN}", now)
    finally:
        os.close(lock)


def recover(paths: Paths, containers: Containers) -> Iterator[tuple[ContainerRecord, Error | None]]:
    """Start the containers whose policy wants them to run, and whose monitors can't do it, because they are dead.

    The first time after a reboot those with the policy "always" start even when they had been stopped, as they do when
    Docker starts. Each comes with the error that its start ended with, or None.
    """
    now = boot()
    booted = _read(f"{paths.run}/{_RECOVERED}") != now
    for record, status in reversed(containers.list(everything=True)):
        if not _is_to_run(paths, record, status, booted):
            continue
        try:
            containers.start(record).close()
        except Error as error:
            yield record, error
        else:
            yield record, None
    os.makedirs(paths.run, 0o700, exist_ok=True)
    _write(f"{paths.run}/{_RECOVERED}", now)


def _is_to_run(paths: Paths, record: ContainerRecord, status: Status, booted: bool) -> bool:
    if status.alive or status.kept or status.exit is None or not record.restart:
        return False
    if was_stopped(paths.container(record.id)):
        return booted and record.restart == ALWAYS
    return wants(record.restart, record.restartLimit, status.exit)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return b""


def _write(path: str, data: bytes) -> None:
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb", buffering=0) as file:
        file.write(data)
    os.rename(temporary, path)

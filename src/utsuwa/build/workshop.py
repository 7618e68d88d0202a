"""What a build leaves on the disk while it works: a directory under a lock, and containers and snapshots named after
it.

    ROOT/build/work/NAME/         locked by the build, and by the process that keeps its container
    ROOT/build/cache/KEY.json     see build.cache
    ROOT/build/mounts/ID/         cache mounts

A build that was killed leaves no lock; whoever builds or prunes next removes what is named after it.
"""

from __future__ import annotations

import fcntl
import os
from itertools import count

from utsuwa.errors import Error, from_oserror
from utsuwa.identifiers import new_engine_id
from utsuwa.snapshot import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.engine.images import Images
    from utsuwa.engine.paths import Paths


class Workshop:
    """One build's directory, ``path``, gone when it is closed, with all that bears its name."""

    def __init__(self, paths: Paths, images: Images) -> None:
        self._paths, self._images = paths, images
        sweep(paths, images)
        while True:
            self.name = f"build-{new_engine_id()[:16]}"
            self.path = f"{paths.workshops}/{self.name}"
            try:
                os.makedirs(self.path, 0o700)
                self.lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                fcntl.flock(self.lock, fcntl.LOCK_EX)
                if os.stat(self.path).st_ino == os.fstat(self.lock).st_ino:
                    break
            except FileNotFoundError:  # somebody has swept before it was locked
                pass
            except OSError as error:
                raise from_oserror(error, f"make {self.path}") from error
        self._numbers = count(1)
        self._endings: list[Callable[[], None]] = []

    def directory(self) -> str:
        """A new empty directory."""
        path = f"{self.path}/{self.name_next()}"
        os.mkdir(path, 0o755)
        return path

    def name_next(self) -> str:
        """A name for a container and its snapshot that nobody else has."""
        return f"{self.name}-{next(self._numbers)}"

    def before_end(self, act: Callable[[], None]) -> None:
        """Have something done before it is closed."""
        self._endings.append(act)

    def close(self) -> None:
        """Remove all of it."""
        while self._endings:
            self._endings.pop()()
        if self.lock >= 0:
            clear(self._paths, self._images, self.name)
            os.close(self.lock)
            self.lock = -1

    def __enter__(self) -> Workshop:
        return self

    def __exit__(self, *_failure: object) -> None:
        self.close()


def clear(paths: Paths, images: Images, name: str) -> None:
    """Remove what a build has made: its containers, its snapshots, its directory. Can be repeated."""
    from utsuwa.runtime.delete import delete
    from utsuwa.runtime.record import Store

    for identifier in _entries(paths.runtime):
        if identifier.startswith(f"{name}-"):
            try:
                delete(Store(paths.runtime), identifier, force=True)
            except Error:
                continue
    if _has_places(f"{paths.run}/networks", f"{name}-"):
        from utsuwa.build.networking import leave_all

        leave_all(paths, f"{name}-")
    for key in _entries(f"{paths.snapshots}/keys"):
        if key.startswith(f"{name}-"):
            images.snapshotter.remove(key)
    tree.remove(f"{paths.run}/secrets/{name}")
    tree.remove(f"{paths.workshops}/{name}")


def _has_places(networks: str, prefix: str) -> bool:
    """Whether a network has something of containers whose names begin so; what gives it back takes its time to load."""
    return any(
        each.startswith(prefix)
        for network in _entries(networks)
        for each in _entries(f"{networks}/{network}/endpoints")
    )


def sweep(paths: Paths, images: Images) -> None:
    """Clear after builds that were killed, and what they had not finished storing."""
    images.store.sweep()
    for name in _entries(paths.workshops):
        try:
            fd = os.open(f"{paths.workshops}/{name}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            clear(paths, images, name)
        except BlockingIOError:
            pass
        finally:
            os.close(fd)


def _entries(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []

"""Places that a RUN needs in its root to mount something on, and that must not be left in the layer."""

from __future__ import annotations

import os
import stat

from utsuwa.build import places
from utsuwa.snapshot.merged import Merged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.build.places import Path


class Stubs:
    """Looked at before the container runs, cleared away after it: what was not there, is empty, and was mounted on."""

    def __init__(self, root: Merged, targets: list[str]) -> None:
        self._new: list[Path] = []
        self._times: dict[Path, int] = {}
        for target in targets:
            self._note(root, places.split(target))

    def _note(self, root: Merged, target: Path) -> None:
        with places.find(root, target) as found:
            path, there = found.path, found.state is not None
        while path and not there:
            if path not in self._new:
                self._new.append(path)
            path = path[:-1]
            with places.find(root, path, follow=False) as found:
                there = found.state is not None
                if there and found.state is not None:
                    self._times.setdefault(path, found.state.st_mtime_ns)

    def clear(self, upper: str) -> None:
        """Remove them from the directory that took what the container wrote, the deepest first."""
        with Merged.of([upper]) as top:
            for path in sorted(self._new, key=len, reverse=True):
                _remove(top, path)
            for path, mtime in self._times.items():
                _set_time(top, path, mtime)


def _remove(top: Merged, path: Path) -> None:
    with places.find(top, path, follow=False) as found:
        if found.state is None:
            return
        try:
            if stat.S_ISDIR(found.state.st_mode):
                os.rmdir(found.name, dir_fd=found.directory)
            elif stat.S_ISREG(found.state.st_mode) and not found.state.st_size:
                os.unlink(found.name, dir_fd=found.directory)
        except OSError:  # the container has put something there
            return


def _set_time(top: Merged, path: Path, mtime: int) -> None:
    """A directory that stood below has the time it had, so that it is no change by itself."""
    with places.find(top, path, follow=False) as found:
        if found.is_directory():
            os.utime(found.name, ns=(mtime, mtime), dir_fd=found.directory, follow_symlinks=False)

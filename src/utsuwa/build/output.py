"""``--output``: the tree of the last stage as a directory or a tar archive, instead of an image."""

from __future__ import annotations

import os

from utsuwa.build.filling import take
from utsuwa.errors import Conflict, from_oserror
from utsuwa.snapshot import diff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.build.kitchen import Kitchen
    from utsuwa.build.state import State


class Output:
    """``kind`` is ``tar``, with a file or "-" for standard output, or ``local``, with a directory that is empty or
    new.
    """

    def __init__(self, kind: str, place: str) -> None:
        self.kind, self.place = kind, place

    def write(self, kitchen: Kitchen, state: State) -> None:
        """Write the tree. Raises Conflict for a directory that holds something."""
        step = kitchen.progress.begin("exporting to client")
        snapshots, key = kitchen.store.snapshotter, kitchen.workshop.name_next()
        snapshots.prepare(key, state.top, read_only=True)
        try:
            chunks = diff.export(snapshots, key)
            if self.kind == "local":
                os.makedirs(self.place, 0o755, exist_ok=True)
                if os.listdir(self.place):
                    raise Conflict(f"the output directory {self.place} is not empty")
                take(self.place, chunks)
            elif self.place == "-":
                for chunk in chunks:
                    _write_all(1, chunk)
            else:
                with open(self.place, "wb") as file:
                    file.writelines(chunks)
        except OSError as error:
            raise from_oserror(error, f"write {self.place}") from error
        finally:
            snapshots.remove(key)
        step.done()


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]

"""A layer unpacked while its archive is being made: chunks go to a thread that applies them.

Applying needs the umask 0, which a process has one of; the thread takes a file system context of its own for that
(unshare(2), CLONE_FS), so that nothing else in the process is touched.
"""

from __future__ import annotations

import os
import queue
import threading

from utsuwa.errors import from_oserror
from utsuwa.linux.libc import call
from utsuwa.snapshot import tar, tree
from utsuwa.snapshot.apply import Outcome, apply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from utsuwa.snapshot.layers import Staging

_CLONE_FS = 0x200
_WAITING = 8
"""Chunks that may wait to be applied."""


class Intake:
    """``write`` chunks, then ``finish``; leave the ``with`` earlier and the thread ends, its tree is the staging's."""

    def __init__(self, staging: Staging) -> None:
        self._chunks: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        self._outcome: Outcome | None = None
        self._failure: BaseException | None = None
        self._top = os.open("tree", tree.DIRECTORY_FLAGS, dir_fd=staging.fd)
        self._thread = threading.Thread(target=self._run, name="utsuwa-intake", daemon=True)
        self._thread.start()

    def write(self, chunk: bytes) -> None:
        """Hand over the next bytes; raises what applying them raised."""
        if self._failure:
            raise self._failure
        self._chunks.put(chunk)

    def finish(self) -> Outcome:
        """Wait until all is applied."""
        self._end()
        if self._failure:
            raise self._failure
        assert self._outcome is not None
        return self._outcome

    def _end(self) -> None:
        if self._top >= 0:
            self._chunks.put(None)
            self._thread.join()
            os.close(self._top)
            self._top = -1

    def __enter__(self) -> Intake:
        return self

    def __exit__(self, *_failure: object) -> None:
        self._end()

    def _run(self) -> None:
        try:
            _own_umask()
            self._outcome = apply(tar.Stream(self._arriving()), self._top)
        except BaseException as failure:  # told to whoever writes or waits
            self._failure = failure
            while self._chunks.get() is not None:
                pass

    def _arriving(self) -> Iterator[bytes]:
        while (chunk := self._chunks.get()) is not None:
            yield chunk
        self._chunks.put(None)  # for the reader that comes again, or the one that clears up after a failure


def _own_umask() -> None:
    try:
        call("unshare", _CLONE_FS)
    except OSError as error:
        raise from_oserror(error, "unshare the umask") from error
    os.umask(0)

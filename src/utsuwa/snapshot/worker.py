"""The process that unpacks one layer: started lean, so that several can run beside a download, each on a processor of
its own.

It has five descriptors: 0 a pipe that ends when its starter dies, 1 where it reports, 3 the compressed blob, 4 the
locked directory of the layer in the making, 5 an eventfd(2) that counts how many bytes of the blob are there to be read
(the blob may still be arriving). Reports are JSON, one a line: ``{"read": n}`` now and then, at last the outcome or
``{"error": kind, "message": text}``.
"""

from __future__ import annotations

import os
import select
import sys

from utsuwa import errors
from utsuwa.snapshot import apply, compression, tar, tree
from utsuwa.spec import codec
from utsuwa.spec.digest import Digest, hasher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

ALIVE, REPORTS, BLOB, STAGING, AVAILABLE = 0, 1, 3, 4, 5
COMPLETE = 1 << 60
"""Added to the count of available bytes when the blob has arrived whole and verified."""
_REPORT_STEP = 1 << 20


class Abandoned(Exception):
    """The starter is gone, or has given the layer up."""


class Arriving:
    """The blob as it arrives: reads wait for the bytes that are announced through the eventfd."""

    def __init__(self) -> None:
        self._position = self._available = self._reported = 0
        self._complete = False
        self._poll = select.poll()
        self._poll.register(AVAILABLE, select.POLLIN)
        self._poll.register(ALIVE, select.POLLHUP)

    def read(self, count: int) -> bytes:
        """Up to ``count`` bytes, b"" at the end of the blob; raises Abandoned."""
        while True:
            self._look(block=self._position >= self._available and not self._complete)
            if self._position < self._available or self._complete:
                break
        data = os.pread(BLOB, min(count, self._available - self._position), self._position)
        self._position += len(data)
        if self._position - self._reported >= _REPORT_STEP:
            self._reported = self._position
            report({"read": self._position})
        return data

    def wait(self) -> None:
        """Return when the whole blob has arrived and was found right."""
        while not self._complete:
            self._look(block=True)

    def _look(self, block: bool) -> None:
        for fd, _ in self._poll.poll(None if block else 0):
            if fd == ALIVE:
                raise Abandoned
            count = os.eventfd_read(AVAILABLE)
            self._complete = self._complete or count >= COMPLETE
            self._available += count % COMPLETE


def report(message: dict[str, object]) -> None:
    """Write one line to the starter."""
    data = (codec.dumps(message) + "\n").encode()
    while data:
        data = data[os.write(REPORTS, data) :]


def unpack(diff_id: Digest, limits: apply.Limits) -> dict[str, object]:
    """Apply the blob to the staging directory; returns the outcome for :func:`report`."""
    arriving = Arriving()
    running = hasher(diff_id.algorithm)

    def hashed() -> Iterator[bytes]:
        for piece in compression.decompressed(arriving.read):
            running.update(piece)
            yield piece

    top = os.open("tree", tree.DIRECTORY_FLAGS, dir_fd=STAGING)
    try:
        outcome = apply.apply(tar.Stream(hashed()), top, limits)
    finally:
        os.close(top)
    arriving.wait()
    if running.hexdigest() != diff_id.hex:
        found = f"{diff_id.algorithm}:{running.hexdigest()}"
        raise errors.Unavailable(f"the uncompressed layer has the digest {found}, the image says {diff_id}")
    return {
        "size": outcome.size,
        "entries": outcome.entries,
        "implicit": [name.decode("latin-1") for name in outcome.implicit],
        "links": [[name.decode("latin-1"), target.decode("latin-1")] for name, target in outcome.links],
    }


def main() -> None:
    """``worker DIFF_ID [LIMIT=VALUE …]``"""
    os.umask(0)
    limits = apply.Limits()
    for word in sys.argv[2:]:
        name, _, value = word.partition("=")
        setattr(limits, name, int(value))
    try:
        report(unpack(Digest(sys.argv[1]), limits))
        return
    except (Abandoned, BrokenPipeError, KeyboardInterrupt):
        failure: dict[str, object] | None = None
    except errors.Error as error:
        failure = {"error": type(error).__name__, "message": str(error)}
    except Exception as error:  # whatever an archive provokes is told in one line, never as a traceback
        failure = {"error": "Internal", "message": f"unpack layer: {error!r}"}
    tree.remove("tree", STAGING)
    if failure is None:
        sys.exit(1)
    try:
        report(failure)
    except BrokenPipeError:
        pass

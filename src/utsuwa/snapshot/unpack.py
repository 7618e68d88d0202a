"""Start a worker process for a layer, feed it with news of the blob, and take its report."""

from __future__ import annotations

import fcntl
import os
import sys

from utsuwa import errors
from utsuwa.errors import Internal
from utsuwa.snapshot.apply import Limits, Outcome
from utsuwa.snapshot.layers import Staging
from utsuwa.snapshot.worker import COMPLETE
from utsuwa.spec import codec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_START = "import sys; sys.path[:0] = sys.argv.pop(1).split('\\n'); from utsuwa.snapshot.worker import main; main()"
_FREE = 16  # descriptors above those that the worker's file actions assign


class Unpacking:
    """One layer being unpacked by a process. Close it, whatever happened: an unfinished worker then cleans up and ends.

    :meth:`fileno` is readable when :meth:`take` has something to do; an event loop makes it non-blocking first.
    """

    def __init__(self, staging: Staging, blob: int, limits: Limits | None = None) -> None:
        self.staging = staging
        self.read = 0
        self._text = b""
        self._ended = False
        self._available = os.eventfd(0, os.EFD_CLOEXEC)
        self._reports, reports = os.pipe()
        alive, self._alive = os.pipe()
        try:
            self._pid = _start(staging, {0: alive, 1: reports, 3: blob, 4: staging.fd, 5: self._available}, limits)
        finally:
            os.close(alive)
            os.close(reports)

    def announce(self, count: int) -> None:
        """``count`` more bytes of the blob can be read."""
        if count:
            os.eventfd_write(self._available, count)

    def complete(self) -> None:
        """The blob is there whole, and its digest is right."""
        os.eventfd_write(self._available, COMPLETE)

    def fileno(self) -> int:
        """The descriptor that reports come from."""
        return self._reports

    def take(self) -> bool:
        """Read what is reported; True at the end, when ``staging.outcome`` is set. Raises what the worker raised."""
        try:
            data = os.read(self._reports, 1 << 16)
        except BlockingIOError:  # woken a second time for what is taken already
            return self._ended
        if data:
            *lines, self._text = (self._text + data).split(b"\n")
            for line in lines:
                self._handle(codec.parse(line))
            return self._ended
        if not self._ended:
            raise Internal(f"layer {self.staging.name}: the unpacking process died, see the kernel's log for a reason")
        return True

    def wait(self, progress: Callable[[int], None] | None = None) -> None:
        """Take reports until the end; ``progress`` gets the bytes of the blob read so far."""
        while not self.take():
            if progress:
                progress(self.read)

    def close(self) -> None:
        """Let the process end and take its exit status."""
        if self._pid:
            os.close(self._alive)
            os.close(self._reports)
            os.close(self._available)
            os.waitpid(self._pid, 0)
            self._pid = 0

    def _handle(self, message: dict[str, Any]) -> None:
        if "read" in message:
            self.read = message["read"]
        elif "error" in message:
            self._ended = True
            kind = getattr(errors, message["error"], Internal)
            raise kind(f"layer {self.staging.diff_id}: {message['message']}")
        else:
            outcome = Outcome()
            outcome.size, outcome.entries = message["size"], message["entries"]
            outcome.implicit = {name.encode("latin-1") for name in message["implicit"]}
            outcome.links = [(name.encode("latin-1"), target.encode("latin-1")) for name, target in message["links"]]
            self.staging.outcome = outcome
            self._ended = True


def _start(staging: Staging, descriptors: dict[int, int], limits: Limits | None) -> int:
    """Spawn the interpreter without site and environment, on this one's module path; returns the pid."""
    path = "\n".join(entry for entry in sys.path if entry)
    words = [f"{name}={int(value)}" for name, value in vars(limits or Limits()).items()]
    command = [sys.executable, "-I", "-S", "-c", _START, path, str(staging.diff_id), *words]
    held = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FREE) for fd in descriptors.values()]
    try:
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in zip(descriptors, held, strict=True)]
        return os.posix_spawn(command[0], command, {"LC_ALL": "C.UTF-8"}, file_actions=actions)
    except OSError as error:
        raise errors.from_oserror(error, f"start {sys.executable}") from None
    finally:
        for fd in held:
            os.close(fd)

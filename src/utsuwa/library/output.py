"""What processes print: in pieces while they run, as a whole afterwards, and as lines of a log."""

from __future__ import annotations

from datetime import UTC
from typing import NamedTuple

from utsuwa.library.failures import ProcessFailed
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime


class Chunk(NamedTuple):
    """Some bytes of ``stream``, "stdout" or "stderr" (with a terminal all are stdout)."""

    stream: str
    data: bytes


class Output(Record):
    """All that a process has printed, and how it ended. ``str(output)`` is its ``text``."""

    command: tuple[str, ...]
    exit_code: int
    stdout: bytes
    stderr: bytes = b""

    @property
    def text(self) -> str:
        """What it printed to stdout, as UTF-8; a byte that is none becomes U+FFFD."""
        return self.stdout.decode("utf-8", "replace")

    def __str__(self) -> str:
        return self.text

    def checked(self, who: str) -> Output:
        """This output, if the process has ended well; raises ProcessFailed that names ``who`` otherwise."""
        if self.exit_code:
            words = self.stderr.decode("utf-8", "replace").strip()
            message = f"{who}: {' '.join(self.command) or 'its command'} ended with exit code {self.exit_code}"
            raise ProcessFailed(f"{message}: {words[-_WORDS:]}" if words else message, self)
        return self


_WORDS = 1000
"""Characters of standard error in a message; all of it is in the error's ``stderr``."""


class LogLine:
    """A line of a container's log: ``text`` with its newline (a long line comes in pieces of 16 kB), ``stream``
    ("stdout" or "stderr"), and ``stamp``, when it was written, in RFC 3339 with nanoseconds.
    """

    __slots__ = ("stamp", "stream", "text")

    def __init__(self, text: str, stream: str, stamp: str) -> None:
        self.text, self.stream, self.stamp = text, stream, stamp

    @property
    def time(self) -> datetime:
        """When it was written, to the microsecond."""
        from datetime import datetime

        whole, _, fraction = self.stamp.rstrip("Z").partition(".")
        moment = datetime.fromisoformat(whole).replace(tzinfo=UTC)
        return moment.replace(microsecond=int(f"{fraction:0<6}"[:6]))

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"LogLine({self.text!r}, {self.stream!r}, {self.stamp!r})"


class Splitter:
    """Puts lines together from chunks, each stream by itself."""

    def __init__(self) -> None:
        self._rest: dict[str, bytes] = {}

    def feed(self, chunk: Chunk) -> list[str]:
        """The lines that a chunk completes, without their ends."""
        *lines, self._rest[chunk.stream] = (self._rest.get(chunk.stream, b"") + chunk.data).split(b"\n")
        return [_text(line) for line in lines]

    def finish(self) -> list[str]:
        """What has no newline at the end."""
        rest = [_text(line) for line in self._rest.values() if line]
        self._rest = {}
        return rest


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace")

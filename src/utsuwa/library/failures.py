"""What only programs that use the library can be told, in the family of :mod:`utsuwa.errors`."""

from __future__ import annotations

from utsuwa.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.library.output import Output


class ProcessFailed(Error):
    """A process ended with another exit code than 0. ``output`` is all that it printed."""

    def __init__(self, message: str, output: Output) -> None:
        super().__init__(message)
        self.output = output

    @property
    def exit_code(self) -> int:
        """As a shell's: 128 and the signal for a process that was killed."""
        return self.output.exit_code

    @property
    def stdout(self) -> bytes:
        """What the process printed."""
        return self.output.stdout

    @property
    def stderr(self) -> bytes:
        """What it printed to its standard error."""
        return self.output.stderr

    def within(self, context: str) -> ProcessFailed:
        """The same with ``context: `` before its message."""
        return type(self)(f"{context}: {self}", self.output)


class TimedOut(Error, TimeoutError):
    """Something did not happen in time; what was waited for goes on, unless it says otherwise."""

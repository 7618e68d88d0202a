"""What is wrong with a Dockerfile, and where: BuildKit's words, which people search for, with the lines shown."""

from __future__ import annotations

from utsuwa.errors import Error, InvalidArgument, printable

_AROUND = 3
"""Lines shown before and after those that are meant."""


class Fault(InvalidArgument):
    """A Dockerfile that can't be read. ``first`` and ``last`` are lines, counted from 1, or 0."""

    def __init__(self, message: str, first: int = 0, last: int = 0) -> None:
        super().__init__(f"dockerfile parse error on line {first}: {message}" if first else message)
        self.first, self.last = first, last or first

    def within(self, context: str) -> Error:
        """The same fault, with its place, and ``context: `` before its message."""
        found = Fault(f"{context}: {self}")
        found.first, found.last = self.first, self.last
        return found


class StepFailed(Error):
    """An instruction that was understood and could not be carried out. ``code``: a command's exit code, or 1."""

    def __init__(self, message: str, first: int = 0, last: int = 0, code: int = 1) -> None:
        super().__init__(message)
        self.first, self.last, self.code = first, last, code


def excerpt(name: str, text: str, first: int, last: int) -> str:
    """The lines around a place, those that are meant marked; "" without a place."""
    if not first:
        return ""
    lines = text.splitlines()
    shown = [
        f"{number:>4} | {'>>> ' if first <= number <= last else '    '}{printable(line)}"
        for number, line in enumerate(lines, 1)
        if first - _AROUND <= number <= last + _AROUND
    ]
    return "\n".join([f"{printable(name)}:{first}", "-" * 20, *shown, "-" * 20])

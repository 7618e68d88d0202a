"""Undo: each step pushes its inverse; a failure, or a signal that ends us, plays them backwards."""

from __future__ import annotations

from _signal import SIG_BLOCK, SIGHUP, SIGINT, SIGTERM, pthread_sigmask, signal

from utsuwa.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

ENDING = (SIGHUP, SIGINT, SIGTERM)
"""Signals that ask a runtime to give up what it is doing."""


class Interrupted(Error):
    """A signal asked us to end; ``number`` is which."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by signal {number}")
        self.number = number


_raising = False


def raise_on_signals() -> None:
    """Make the ending signals raise Interrupted wherever the program is: for command lines, not for libraries."""
    global _raising
    _raising = True

    def interrupt(number: int, _frame: object) -> None:
        raise Interrupted(number)

    for number in ENDING:
        signal(number, interrupt)


def hold_signals() -> None:
    """From here on a signal is for the program that we started, not for us: keep it until somebody waits for it.

    Does nothing where signals do not raise.
    """
    if _raising:
        pthread_sigmask(SIG_BLOCK, ENDING)


class Undo:
    """A ``with`` block whose pushed inverses run, last first, when it is left by an exception."""

    def __init__(self) -> None:
        self._inverses: list[tuple[Callable[..., object], tuple[object, ...]]] = []

    def push(self, inverse: Callable[..., object], *arguments: object) -> None:
        """Remember how to take the last step back."""
        self._inverses.append((inverse, arguments))

    def forget(self) -> None:
        """All is well: nothing is taken back any more."""
        self._inverses.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        if error is None or not self._inverses:
            return
        # A second signal must not stop the cleaning. We are about to end, so nobody misses the mask.
        pthread_sigmask(SIG_BLOCK, ENDING)
        failures = []
        while self._inverses:
            inverse, arguments = self._inverses.pop()
            try:
                inverse(*arguments)
            except (OSError, Error) as failure:
                failures.append(str(failure))
        if failures and type(error) is not Interrupted and isinstance(error, Error):
            error.args = (f"{error}; then cleaning up failed: {'; '.join(failures)}",)

"""What a build says while it works: numbered steps in BuildKit's plain form, a short list on a terminal, or nothing."""

from __future__ import annotations

import time

from utsuwa.errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from utsuwa.build.checks import Warning

_TAIL = 200
"""Lines of a step's output that are kept, to be shown again when it fails."""


class Step:
    """One thing that takes time. Report what comes of it by ``output``, and its end by ``done``, ``cached`` or
    ``failed``.
    """

    def __init__(self, progress: Progress, number: int, title: str) -> None:
        self.number, self.title = number, printable(title)  # of a Dockerfile, which may be anybody's
        self.tail: list[str] = []
        self._progress, self._began = progress, time.monotonic()
        self._rest = b""

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    def output(self, data: bytes) -> None:
        """What a command prints, in whatever pieces."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._rest) > 1 << 16:
            self._line(self._rest)
            self._rest = b""

    def _line(self, line: bytes) -> None:
        text = printable(line.rstrip(b"\r").decode("utf-8", "replace"))
        self.tail = [*self.tail[-_TAIL + 1 :], f"{self.seconds:.3f} {text}"]
        self._progress.tell(self, "output", self.tail[-1])

    def note(self, text: str) -> None:
        """A line of our own."""
        self._progress.tell(self, "note", text)

    def done(self) -> None:
        """It went well."""
        self._flush()
        self._progress.tell(self, "end", f"DONE {self.seconds:.1f}s")

    def cached(self) -> None:
        """It need not be done."""
        self._progress.tell(self, "end", "CACHED")

    def failed(self, message: str) -> None:
        """It did not go well."""
        self._flush()
        self._progress.tell(self, "end", f"ERROR: {printable(message)}")

    def _flush(self) -> None:
        if self._rest:
            self._line(self._rest)
            self._rest = b""


class Progress:
    """Steps, told to nobody. ``tell`` may come from several threads at once. ``warnings`` are those of the checks,
    which are made for those who watch.
    """

    def __init__(self) -> None:
        self._count = 0
        self.warnings: list[Warning] = []
        self.is_watched = False

    def begin(self, title: str) -> Step:
        """A new step."""
        self._count += 1
        step = Step(self, self._count, title)
        self.tell(step, "begin", step.title)
        return step

    def tell(self, step: Step, kind: str, text: str) -> None:
        """``begin``, ``output``, ``note`` or ``end`` of a step."""

    def close(self) -> None:
        """Nothing more will come."""


class Plain(Progress):
    """Every line of every step, as BuildKit writes where there is no terminal."""

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self.is_watched = True
        self._out = out
        self._last = 0

    def tell(self, step: Step, kind: str, text: str) -> None:
        """A line of a step, under its number; its title again where another one spoke last."""
        lines = []
        if kind != "begin" and step.number != self._last:
            lines.append(f"\n#{step.number} {step.title}" if kind != "end" else "")
        self._last = step.number
        lines.append(f"\n#{step.number} {text}" if kind == "begin" and step.number > 1 else f"#{step.number} {text}")
        self._out.write("".join(f"{line}\n" for line in lines if line))
        self._out.flush()


class Terminal(Progress):
    """A line for each step that is done, and below them the one that is at work with the last it has said."""

    def __init__(self, out: TextIO, columns: int) -> None:
        super().__init__()
        self.is_watched = True
        self._out, self._columns = out, columns
        self._began = time.monotonic()

    def tell(self, step: Step, kind: str, text: str) -> None:
        """The last line is written over."""
        width = max(20, self._columns - 1)
        if kind == "end":
            word = f"{step.seconds:.1f}s" if text.startswith("DONE") else text.partition(":")[0]
            room = width - len(word) - 5
            shown = f" => {step.title[:room]:{room}} {word}\n"
        else:
            seconds = f"[{time.monotonic() - self._began:.1f}s] "
            shown = f" => {seconds}{step.title if kind == 'begin' else text}"[:width]
        self._out.write(f"\r\x1b[2K{shown}")
        self._out.flush()

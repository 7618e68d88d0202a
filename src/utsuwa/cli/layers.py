"""What becomes of an image's layers on their way: bars on a terminal, a few lines elsewhere."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from typing import TextIO

    from rich.progress import Progress, TaskID

    from utsuwa.image.pull import Event as PullEvent
    from utsuwa.image.push import Event as PushEvent

    Event = PullEvent | PushEvent


class Wording:
    """How one direction speaks: the words for the kinds of news that are told, and which of these still hold
    afterwards: a log without a terminal has those alone, and a bar is full with them.
    """

    def __init__(self, words: Mapping[str, str], lasting: Collection[str], full: Collection[str]) -> None:
        self.words, self.lasting, self.full = words, lasting, full

    def told(self, event: Event) -> str:
        """The news in words; where a layer comes from, if that is said, behind them."""
        source = getattr(event, "source", "")
        return f"{self.words[event.kind]} {source}" if source else self.words[event.kind]


def show(wording: Wording, bring: Callable[[Callable[[Event], None]], object], out: TextIO) -> None:
    """Call ``bring`` with a function that takes its news, and tell ``out`` of them."""
    if not out.isatty():
        bring(_Lines(wording, out).report)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("{task.fields[layer]}: {task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(file=out)) as progress:
        bring(_Bars(wording, progress).report)


def _short(digest: str) -> str:
    return digest.partition(":")[2][:12]


class _Lines:
    """One line for each lasting change of a layer."""

    def __init__(self, wording: Wording, out: TextIO) -> None:
        self._wording, self._out = wording, out

    def report(self, event: Event) -> None:
        """Print what will still be true afterwards."""
        if event.kind in self._wording.lasting:
            print(f"{_short(event.digest)}: {self._wording.told(event)}", file=self._out, flush=True)


class _Bars:
    """One bar for each layer."""

    def __init__(self, wording: Wording, progress: Progress) -> None:
        self._wording, self._progress = wording, progress
        self._tasks: dict[str, TaskID] = {}

    def report(self, event: Event) -> None:
        """Move a layer's bar."""
        if event.kind not in self._wording.words:
            return
        task, total = self._tasks.get(event.digest), event.total or None
        if task is None:
            task = self._progress.add_task("", total=total, layer=_short(event.digest))
            self._tasks[event.digest] = task
        done = event.total if event.kind in self._wording.full else event.current
        self._progress.update(task, description=self._wording.told(event), completed=done, total=total)

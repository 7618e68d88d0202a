"""Pushing an image at the command line: bars on a terminal, a few lines elsewhere."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from rich.progress import Progress, TaskID

    from utsuwa.cli.house import House
    from utsuwa.image.push import Event
    from utsuwa.spec.reference import Reference

_WORDS = {
    "preparing": "Preparing",
    "pushing": "Pushing",
    "pushed": "Pushed",
    "exists": "Layer already exists",
    "mounted": "Mounted from",
}
_LASTING = ("preparing", "exists", "mounted", "pushed")
"""What a log without a terminal shows."""


def push(house: House, name: Reference, *, quiet: bool, out: TextIO) -> None:
    """Send an image to its registry and tell ``out`` about it. Raises what image.push raises."""
    import asyncio

    from utsuwa.image.push import push as send

    ended: list[Event] = []

    def bring(report: Callable[[Event], None]) -> None:
        def progress(event: Event) -> None:
            if event.kind == "done":
                ended.append(event)
            elif not quiet:
                report(event)

        asyncio.run(send(house.images.store, name, progress))

    if not quiet and out.isatty():
        _with_bars(bring, out)
    else:
        bring(_Lines(out).report)
    if not quiet:
        for event in ended:
            print(f"{name.tag}: digest: {event.digest} size: {event.total}", file=out, flush=True)


def _told(event: Event) -> str:
    return f"{_WORDS[event.kind]}{f' {event.source}' if event.source else ''}"


def _short(digest: str) -> str:
    return digest.partition(":")[2][:12]


class _Lines:
    """One line for each lasting change of a layer."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def report(self, event: Event) -> None:
        """Print what will still be true afterwards."""
        if event.kind in _LASTING:
            print(f"{_short(event.digest)}: {_told(event)}", file=self._out, flush=True)


def _with_bars(bring: Callable[[Callable[[Event], None]], None], out: TextIO) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("{task.fields[layer]}: {task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(file=out)) as progress:
        bring(_Bars(progress).report)


class _Bars:
    """One bar for each layer."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def report(self, event: Event) -> None:
        """Move a layer's bar."""
        task = self._tasks.get(event.digest)
        if task is None:
            task = self._progress.add_task("", total=event.total or None, layer=_short(event.digest))
            self._tasks[event.digest] = task
        done = event.total if event.kind in ("exists", "mounted", "pushed") else event.current
        self._progress.update(task, description=_told(event), completed=done, total=event.total or None)

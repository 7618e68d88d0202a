"""Pushing an image at the command line: bars on a terminal, a few lines elsewhere."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from utsuwa.cli.house import House
    from utsuwa.cli.layers import Event
    from utsuwa.spec.platform import Platform
    from utsuwa.spec.reference import Reference

_WORDS = {
    "preparing": "Preparing",
    "pushing": "Pushing",
    "pushed": "Pushed",
    "exists": "Layer already exists",
    "mounted": "Mounted from",
}
_FULL = ("exists", "mounted", "pushed")


def push(house: House, name: Reference, *, quiet: bool, out: TextIO, platform: Platform | None = None) -> None:
    """Send an image to its registry and tell ``out`` about it. Raises what image.push raises."""
    import asyncio

    from utsuwa.cli.layers import Wording, show
    from utsuwa.image.push import push as send

    ended: list[Event] = []

    def bring(report: Callable[[Event], None]) -> None:
        def progress(event: Event) -> None:
            if event.kind == "done":
                ended.append(event)
            else:
                report(event)

        asyncio.run(send(house.images.store, name, progress, platform=platform))

    if quiet:
        bring(lambda _event: None)
        return
    show(Wording(_WORDS, lasting=("preparing", *_FULL), full=_FULL), bring, out)
    for event in ended:
        print(f"{name.tag}: digest: {event.digest} size: {event.total}", file=out, flush=True)

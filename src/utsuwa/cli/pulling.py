"""Pulling an image at the command line: bars on a terminal, a few lines elsewhere. The only door to asyncio here."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from utsuwa.cli.house import House
    from utsuwa.cli.layers import Event
    from utsuwa.image.store import Image

_WORDS = {
    "waiting": "Waiting",
    "downloading": "Downloading",
    "downloaded": "Download complete",
    "unpacking": "Extracting",
    "unpacked": "Pull complete",
    "exists": "Already exists",
}
_LASTING = ("exists", "downloaded", "unpacked")


def pull(house: House, name: str, platform: str, *, quiet: bool, out: TextIO) -> str:
    """Bring an image into the store and tell ``out`` about it; its full name. Raises what image.pull raises."""
    import asyncio

    from utsuwa.cli.layers import Wording, show
    from utsuwa.image.pull import pull as fetch
    from utsuwa.spec import platform as platforms
    from utsuwa.spec import reference

    wanted = reference.parse(name).tagged()
    asked = platforms.parse(platform) if platform else None
    events: list[Event] = []

    def bring(report: Callable[[Event], None]) -> Image:
        def progress(event: Event) -> None:
            if event.kind in ("resolved", "up-to-date"):
                events.append(event)
            report(event)

        found = asyncio.run(fetch(house.images.store, name, asked, progress))
        house.images.note("pull", wanted.familiar(), wanted.familiar_repository)
        return found

    if quiet:
        bring(lambda _event: None)
        return str(wanted)
    if ":" not in name.rpartition("/")[2] and "@" not in name:
        print(f"Using default tag: {wanted.tag}", file=out)
    print(f"{wanted.target}: Pulling from {wanted.path}", file=out, flush=True)
    show(Wording(_WORDS, lasting=_LASTING, full=_LASTING), bring, out)
    _conclude(events, str(wanted.familiar()), out)
    return str(wanted)


def pull_all(house: House, name: str, platform: str, *, quiet: bool, out: TextIO) -> str:
    """Bring the images of all tags of a repository; the repository's full name."""
    import asyncio

    from utsuwa.errors import InvalidArgument
    from utsuwa.image.pull import tags
    from utsuwa.spec import reference

    wanted = reference.parse(name)
    if wanted.tag or wanted.digest:
        raise InvalidArgument("tag can't be used with --all-tags/-a")
    for tag in asyncio.run(tags(wanted)):
        pull(house, str(wanted.replace(tag=tag)), platform, quiet=quiet, out=out)
    return wanted.repository


def _conclude(events: list[Event], name: str, out: TextIO) -> None:
    for event in events:
        if event.kind == "resolved":
            print(f"Digest: {event.digest}", file=out)
    fresh = not any(event.kind == "up-to-date" for event in events)
    status = "Downloaded newer image for" if fresh else "Image is up to date for"
    print(f"Status: {status} {name}", file=out, flush=True)

"""`utsuwa images`: the images in the store (docker images)."""

from __future__ import annotations

import time

from utsuwa.cli import times
from utsuwa.cli.flags import SWITCH, Option
from utsuwa.cli.house import House, Verb, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.image.store import Image

VERB = Verb(
    "images [OPTIONS] [REPOSITORY[:TAG]]",
    "List images",
    (
        Option("all", "a", SWITCH, "Show all images (there are no intermediate ones)"),
        Option("digests", "", SWITCH, "Show digests"),
        Option("no-trunc", "", SWITCH, "Don't truncate output"),
        Option("quiet", "q", SWITCH, "Only show image IDs"),
    ),
    most=1,
)
_UNITS = ("B", "kB", "MB", "GB", "TB")


def run(words: list[str]) -> int:
    """One row a name."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    whole = arguments.on("no-trunc")
    rows: list[tuple[str, ...]] = [row for image in House().images.store.list() for row in _rows(image, whole)]
    if arguments.words:
        rows = [row for row in rows if arguments.words[0] in (row[0], f"{row[0]}:{row[1]}")]
    if arguments.on("quiet"):
        for identifier in dict.fromkeys(row[3] for row in rows):
            print(identifier)
        return 0
    header: tuple[str, ...] = ("REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE")
    if not arguments.on("digests"):
        header, rows = _without_digest(header), [_without_digest(row) for row in rows]
    print(table(header, rows))
    return 0


def _without_digest(row: tuple[str, ...]) -> tuple[str, ...]:
    return (*row[:2], *row[3:])


def _rows(image: Image, whole: bool) -> list[tuple[str, ...]]:
    identifier = image.id if whole else image.id.partition(":")[2][:12]
    created = f"{times.duration(time.time() - image.created)} ago" if image.created else "N/A"
    digests = dict(text.rsplit("@", 1) for text in image.digests)
    names = [name.rpartition(":")[::2] for name in image.names]
    names = names or [(repository, "<none>") for repository in digests] or [("<none>", "<none>")]
    return [
        (repository, tag, digests.get(repository, "<none>"), identifier, created, size(image.size))
        for repository, tag in names
    ]


def size(count: int) -> str:
    """Bytes in decimal units with three digits, as Docker prints them: 4.26MB."""
    value, unit = float(count), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value /= 1000
        unit += 1
    return f"{value:.3g}{_UNITS[unit]}"

"""`utsuwa images`: the images in the store (docker images)."""

from __future__ import annotations

import time

from utsuwa.cli import times
from utsuwa.cli.flags import LIST, SWITCH, WORD, BadUsage, Option
from utsuwa.cli.house import House, Verb
from utsuwa.cli.listing import formatted, table
from utsuwa.errors import Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.cli.flags import Arguments
    from utsuwa.image.store import Image

VERB = Verb(
    "images [OPTIONS] [REPOSITORY[:TAG]]",
    "List images",
    (
        Option("all", "a", SWITCH, "Show all images (default hides intermediate images)"),
        Option("digests", "", SWITCH, "Show digests"),
        Option("filter", "f", LIST, "Filter output based on conditions provided"),
        Option("format", "", WORD, "Format output: 'json', 'table TEMPLATE' or a Go template"),
        Option("no-trunc", "", SWITCH, "Don't truncate output"),
        Option("quiet", "q", SWITCH, "Only show image IDs"),
        Option("tree", "", SWITCH, "List images with those for single platforms below them"),
    ),
    most=1,
)
_UNITS = ("B", "kB", "MB", "GB", "TB")
_HEADER = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "Size": "SIZE",
}
_FURTHER = {
    "CreatedAt": "CREATED AT",
    "Containers": "CONTAINERS",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
    "VirtualSize": "SIZE",
}


def run(words: list[str]) -> int:
    """One row a name."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    whole, house = arguments.on("no-trunc"), House()
    if arguments.on("tree"):
        return _tree(house, arguments)
    images, keeps = _chosen(house, arguments)
    rows = [row for image in images for row in _rows(image, whole) if keeps(_name(row))]
    if arguments.text("format") not in ("", "table"):
        text = formatted(arguments.text("format"), {**_HEADER, **_FURTHER}, rows)
    elif arguments.on("quiet"):
        text = "\n".join(row["ID"] for row in rows)
    else:
        columns = [name for name in _HEADER if name != "Digest" or arguments.on("digests")]
        text = table([_HEADER[name] for name in columns], [[row[name] for name in columns] for row in rows])
    if text:
        print(text)
    return 0


def _tree(house: House, arguments: Arguments) -> int:
    for word, told in (("quiet", "quiet"), ("no-trunc", "no-trunc"), ("digests", "show-digest"), ("format", "format")):
        if word in arguments.given:
            raise Unsupported(f"--{told} is not yet supported with --tree")
    from utsuwa.cli.image_tree import render
    from utsuwa.engine.image_trees import trees

    images, keeps = _chosen(house, arguments)
    used = {record.imageId for record, _ in house.containers.list(everything=True)}
    found = trees(house.images.store, images, used)
    found = [tree.replace(names=tuple(filter(keeps, tree.names))) for tree in found]
    print(render(found, arguments.on("all") or bool(arguments.list("filter"))))
    return 0


def _chosen(house: House, arguments: Arguments) -> tuple[list[Image], Callable[[str], bool]]:
    """The images that ``--filter``, ``--all`` and the pattern on the command line leave; which of their names."""
    images, texts = house.images.store.list(), arguments.list("filter")
    parents = {image.record.parent for image in images}
    everything = arguments.on("all") or any(text.startswith("dangling=") for text in texts)
    shown = [image for image in images if everything or image.names or image.digests or image.id not in parents]
    if not texts and not arguments.words:
        return shown, lambda _name: True
    for text in texts:
        if "=" not in text:
            raise BadUsage(
                f'invalid argument "{text}" for "-f, --filter" flag: bad format of filter (expected name=value)'
            )
    from utsuwa.cli.times import moment
    from utsuwa.engine.image_filters import LIST_KEYS, ImageFilters

    wanted = ImageFilters([*texts, *(f"reference={word}" for word in arguments.words)], LIST_KEYS, house.images, moment)
    found = [
        image for image in shown if wanted.match(image, not (image.names or image.digests) and image.id not in parents)
    ]
    return found, lambda name: name.startswith("<none>") or wanted.has_reference(name)


def _name(row: dict[str, str]) -> str:
    return row["Repository"] if row["Tag"] == "<none>" else f"{row['Repository']}:{row['Tag']}"


def _rows(image: Image, whole: bool) -> list[dict[str, str]]:
    created = time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(image.created)) if image.created else "N/A"
    digests = dict(text.rsplit("@", 1) for text in image.digests)
    names = [(repository, tag) for repository, _, tag in (name.rpartition(":") for name in image.names)]
    named = {repository for repository, _ in names}
    names = [*names, *((repository, "<none>") for repository in digests if repository not in named)]
    names = names or [("<none>", "<none>")]
    return [
        {
            "Repository": repository,
            "Tag": tag,
            "Digest": digests.get(repository, "<none>"),
            "ID": image.id if whole else image.id.partition(":")[2][:12],
            "CreatedSince": f"{times.duration(time.time() - image.created)} ago" if image.created else "N/A",
            "CreatedAt": created,
            "Size": size(image.size),
            "Containers": "N/A",
            "SharedSize": "N/A",
            "UniqueSize": "N/A",
            "VirtualSize": size(image.size, 4),
        }
        for repository, tag in names
    ]


def size(count: int, digits: int = 3) -> str:
    """Bytes in decimal units with three digits, or four, as Docker prints them: 4.26MB."""
    value, unit = float(count), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value /= 1000
        unit += 1
    return f"{value:.{digits}g}{_UNITS[unit]}"

"""`utsuwa images`: the images in the store (docker images)."""

from __future__ import annotations

import time

from utsuwa.cli import times
from utsuwa.cli.flags import LIST, SWITCH, WORD, BadUsage, Option
from utsuwa.cli.house import House, Verb
from utsuwa.cli.listing import formatted, table
from utsuwa.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.image.store import Image

VERB = Verb(
    "images [OPTIONS] [REPOSITORY[:TAG]]",
    "List images",
    (
        Option("all", "a", SWITCH, "Show all images (there are no intermediate ones)"),
        Option("digests", "", SWITCH, "Show digests"),
        Option("filter", "f", LIST, "Filter output based on conditions provided (dangling, reference)"),
        Option("format", "", WORD, "Format output: 'json', 'table TEMPLATE' or a Go template"),
        Option("no-trunc", "", SWITCH, "Don't truncate output"),
        Option("quiet", "q", SWITCH, "Only show image IDs"),
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
_FURTHER = {"CreatedAt": "CREATED AT"}


def run(words: list[str]) -> int:
    """One row a name."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    whole = arguments.on("no-trunc")
    rows = [row for image in House().images.store.list() for row in _rows(image, whole)]
    rows = _chosen(rows, arguments.list("filter"), arguments.words)
    if arguments.on("quiet"):
        text = "\n".join(dict.fromkeys(row["ID"] for row in rows))
    elif arguments.text("format") not in ("", "table"):
        text = formatted(arguments.text("format"), {**_HEADER, **_FURTHER}, rows)
    else:
        columns = [name for name in _HEADER if name != "Digest" or arguments.on("digests")]
        text = table([_HEADER[name] for name in columns], [[row[name] for name in columns] for row in rows])
    if text:
        print(text)
    return 0


def _chosen(rows: list[dict[str, str]], filters: list[str], words: list[str]) -> list[dict[str, str]]:
    """The rows that ``--filter`` and the pattern on the command line leave."""
    patterns = list(words)
    for text in filters:
        key, equals, value = text.partition("=")
        if not equals:
            raise BadUsage(
                f'invalid argument "{text}" for "-f, --filter" flag: bad format of filter (expected name=value)'
            )
        if key == "dangling" and value in ("true", "1", "false", "0"):
            rows = [row for row in rows if (row["Tag"] == "<none>") == (value in ("true", "1"))]
        elif key == "reference":
            patterns.append(value)
        else:
            raise InvalidArgument(f"invalid filter '{text}' (dangling=true, dangling=false or reference=PATTERN)")
    return [row for row in rows if all(_matches(row, pattern) for pattern in patterns)]


def _matches(row: dict[str, str], pattern: str) -> bool:
    """The pattern is the repository, with or without tag; ``*`` stands for anything but a slash."""
    from fnmatch import fnmatchcase

    name = row["Repository"] if ":" not in pattern.rpartition("/")[2] else f"{row['Repository']}:{row['Tag']}"
    return name.count("/") == pattern.count("/") and fnmatchcase(name, pattern)


def _rows(image: Image, whole: bool) -> list[dict[str, str]]:
    created = time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(image.created)) if image.created else "N/A"
    digests = dict(text.rsplit("@", 1) for text in image.digests)
    names = [name.rpartition(":")[::2] for name in image.names]
    names = names or [(repository, "<none>") for repository in digests] or [("<none>", "<none>")]
    return [
        {
            "Repository": repository,
            "Tag": tag,
            "Digest": digests.get(repository, "<none>"),
            "ID": image.id if whole else image.id.partition(":")[2][:12],
            "CreatedSince": f"{times.duration(time.time() - image.created)} ago" if image.created else "N/A",
            "CreatedAt": created,
            "Size": size(image.size),
        }
        for repository, tag in names
    ]


def size(count: int) -> str:
    """Bytes in decimal units with three digits, as Docker prints them: 4.26MB."""
    value, unit = float(count), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value /= 1000
        unit += 1
    return f"{value:.3g}{_UNITS[unit]}"

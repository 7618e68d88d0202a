"""`utsuwa system df`: what is on the disk, and how much of it nothing needs (docker system df)."""

from __future__ import annotations

import time

from utsuwa.cli import times
from utsuwa.cli.flags import SWITCH, WORD, BadUsage, Option
from utsuwa.cli.house import House, Verb
from utsuwa.cli.images import size
from utsuwa.cli.listing import formatted, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.disk_usage import Share, Usage

VERB = Verb(
    "system df [OPTIONS]",
    "Show disk usage",
    (
        Option("format", "", WORD, "Format output: 'json', 'table TEMPLATE' or a Go template"),
        Option("verbose", "v", SWITCH, "Show detailed information on space usage"),
    ),
    most=0,
)
_HEADER = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}


def run(words: list[str]) -> int:
    """A row a kind, or with --verbose a table a kind."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    if arguments.on("verbose") and arguments.text("format"):
        raise BadUsage("conflicting options: cannot specify both --verbose and --format")
    from utsuwa.engine.disk_usage import usage

    house = House()
    found = usage(house.images, house.containers, house.volumes)
    if arguments.on("verbose"):
        print(_verbose(found))
        return 0
    rows = [_row(share) for share in (*found.shares(), _build_cache(house))]
    if arguments.text("format") not in ("", "table"):
        print(formatted(arguments.text("format"), _HEADER, rows))
    else:
        print(table(tuple(_HEADER.values()), [tuple(row.values()) for row in rows]))
    return 0


def _build_cache(house: House) -> Share:
    from utsuwa.build.cache import Cache
    from utsuwa.engine.disk_usage import Share

    entries = Cache(house.images.store).entries()
    return Share(
        kind="Build Cache",
        total=len(entries),
        active=sum(each.busy for each in entries),
        size=sum(each.size for each in entries),
        reclaimable=sum(each.size for each in entries if not each.busy),
    )


def _row(share: Share) -> dict[str, str]:
    part = f" ({100 * share.reclaimable // share.size}%)" if share.size else ""
    return {
        "Type": share.kind,
        "TotalCount": str(share.total),
        "Active": str(share.active),
        "Size": size(share.size),
        "Reclaimable": size(share.reclaimable) + part,
    }


def _verbose(found: Usage) -> str:
    return "\n\n".join(
        f"{title} space usage:\n\n{text}"
        for title, text in (
            ("Images", _images(found)),
            ("Containers", _containers(found)),
            ("Local Volumes", _volumes(found)),
        )
    )


def _images(found: Usage) -> str:
    header = ("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS")
    rows = []
    for each in found.images:
        image = each.image
        names = [name.rpartition(":")[::2] for name in image.names] or [("<none>", "<none>")]
        created = f"{times.duration(time.time() - image.created)} ago" if image.created else "N/A"
        sizes = (size(image.size), size(each.shared), size(each.unique), str(each.containers))
        rows += [(name, tag, image.id.partition(":")[2][:12], created, *sizes) for name, tag in names]
    return table(header, rows)


def _containers(found: Usage) -> str:
    from utsuwa.cli.ps import command_text, state_text

    header = ("CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES")
    rows = []
    for each in found.containers:
        record = each.record
        command = command_text(record.command)
        rows.append(
            (
                record.id[:12],
                record.image,
                f'"{command if len(command) <= 20 else command[:19] + "…"}"',
                str(len(record.volumes)),
                size(each.size),
                times.ago(record.createdAt),
                state_text(each.status),
                record.name,
            )
        )
    return table(header, rows)


def _volumes(found: Usage) -> str:
    rows = [(each.record.name, str(each.links), size(each.size)) for each in found.volumes]
    return table(("VOLUME NAME", "LINKS", "SIZE"), rows)

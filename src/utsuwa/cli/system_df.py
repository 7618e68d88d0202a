"""`utsuwa system df`: what is on the disk, and how much of it nothing needs (docker system df)."""

from __future__ import annotations

from utsuwa.cli.flags import SWITCH, WORD, Option
from utsuwa.cli.house import House, Verb
from utsuwa.cli.images import size
from utsuwa.cli.listing import formatted, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.build.cache import Found
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
    from utsuwa.build.cache import Cache
    from utsuwa.engine.disk_usage import usage

    house = House()
    found = usage(house.images, house.containers, house.volumes)
    cache, wanted = Cache(house.images.store).entries(), arguments.text("format")
    if arguments.on("verbose"):
        _print_all(found, cache, wanted)
        return 0
    rows = [_row(share) for share in (*found.shares(), _cached(cache))]
    if wanted not in ("", "table"):
        print(formatted(wanted, _HEADER, rows))
    else:
        print(table(tuple(_HEADER.values()), [tuple(row.values()) for row in rows]))
    return 0


def _print_all(found: Usage, cache: list[Found], wanted: str) -> None:
    from utsuwa.cli import system_df_verbose as verbose

    if wanted in ("", "table"):
        print(verbose.text(found, cache))
        return
    from utsuwa.cli.template import Template

    document = verbose.document(found, cache)
    print(Template("{{json .}}" if wanted == "json" else wanted).render(document))


def _cached(entries: list[Found]) -> Share:
    from utsuwa.engine.disk_usage import Share

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
        "Size": size(share.size, 4),
        "Reclaimable": size(share.reclaimable, 4) + part,
    }

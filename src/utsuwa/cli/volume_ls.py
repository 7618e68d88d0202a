"""`utsuwa volume ls`: the volumes there are (docker volume ls)."""

from __future__ import annotations

from utsuwa.cli import volume_filters
from utsuwa.cli.flags import LIST, SWITCH, WORD, Option
from utsuwa.cli.house import House, Verb
from utsuwa.cli.listing import formatted, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.volumes import VolumeRecord, Volumes

VERB = Verb(
    "volume ls [OPTIONS]",
    "List volumes",
    (
        Option("filter", "f", LIST, "Provide filter values (dangling, driver, label, name)"),
        Option("format", "", WORD, "Format output: 'json', 'table TEMPLATE' or a Go template"),
        Option("quiet", "q", SWITCH, "Only display volume names"),
    ),
    most=0,
)
_HEADER = {
    "Driver": "DRIVER",
    "Name": "VOLUME NAME",
    "Availability": "AVAILABILITY",
    "Group": "GROUP",
    "Labels": "LABELS",
    "Links": "LINKS",
    "Mountpoint": "MOUNTPOINT",
    "Scope": "SCOPE",
    "Size": "SIZE",
    "Status": "STATUS",
}


def run(words: list[str]) -> int:
    """One row a volume, by name."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    volumes = House().volumes
    wanted = volume_filters.parse(arguments.list("filter"), volume_filters.LIST_KEYS)
    users = volumes.users() if "dangling" in wanted else {}
    found = [record for record in volumes.all() if volume_filters.match(wanted, record, record.name in users)]
    form = arguments.text("format")
    if arguments.on("quiet") and not form:
        text = "\n".join(record.name for record in found)
    elif form not in ("", "table"):
        text = formatted(
            form,
            {**_HEADER, "Label": None},  # type: ignore[dict-item]
            [_row(volumes, record) for record in found],
        )
    else:
        text = table(("DRIVER", "VOLUME NAME"), [(record.driver, record.name) for record in found])
    if text:
        print(text)
    return 0


def _row(volumes: Volumes, record: VolumeRecord) -> dict[str, object]:
    labels = record.labels or {}
    return {
        "Availability": "N/A",
        "Driver": record.driver,
        "Group": "N/A",
        "Labels": ",".join(f"{key}={labels[key]}" for key in sorted(labels)),
        "Links": "N/A",
        "Mountpoint": volumes.data(record.name),
        "Name": record.name,
        "Scope": "local",
        "Size": "N/A",
        "Status": "N/A",
        "Label": lambda key: labels.get(key, ""),
    }

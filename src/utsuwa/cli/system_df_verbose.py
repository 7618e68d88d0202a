"""`utsuwa system df --verbose`: every image, container, volume and entry of the build's cache with what it takes."""

from __future__ import annotations

import time

from utsuwa.cli import times
from utsuwa.cli.images import size
from utsuwa.cli.listing import table
from utsuwa.engine.mountpoints import volume_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from utsuwa.build.cache import Found
    from utsuwa.engine.disk_usage import ContainerUsage, ImageUsage, Usage

    Rows = list[dict[str, str]]

_COLUMNS = {
    "Images": {
        "Repository": "REPOSITORY",
        "Tag": "TAG",
        "ID": "IMAGE ID",
        "CreatedSince": "CREATED",
        "Size": "SIZE",
        "SharedSize": "SHARED SIZE",
        "UniqueSize": "UNIQUE SIZE",
        "Containers": "CONTAINERS",
    },
    "Containers": {
        "ID": "CONTAINER ID",
        "Image": "IMAGE",
        "Command": "COMMAND",
        "LocalVolumes": "LOCAL VOLUMES",
        "Size": "SIZE",
        "RunningFor": "CREATED",
        "Status": "STATUS",
        "Names": "NAMES",
    },
    "Volumes": {"Name": "VOLUME NAME", "Links": "LINKS", "Size": "SIZE"},
    "BuildCache": {"ID": "CACHE ID", "CacheType": "CACHE TYPE", "Size": "SIZE", "LastUsedSince": "LAST USED"},
}
_SHORT = 12


def document(found: Usage, cache: Sequence[Found]) -> dict[str, Rows]:
    """All of it, for ``--format``: with whole ids."""
    return {
        "Images": [_image(each) for each in found.images],
        "Containers": [_container(each) for each in found.containers],
        "Volumes": [
            {"Name": each.record.name, "Links": str(each.links), "Size": size(each.size, 4)} for each in found.volumes
        ],
        "BuildCache": [
            {
                "ID": each.id,
                "CacheType": each.kind,
                "Description": each.text,
                "Size": size(each.size),
                "LastUsedSince": f"{times.duration(time.time() - each.used)} ago" if each.used else "",
                "InUse": str(each.busy).lower(),
            }
            for each in cache
        ],
    }


def text(found: Usage, cache: Sequence[Found]) -> str:
    """A table of each kind."""
    shown = document(found, cache)
    headings = {
        "Images": "Images space usage:",
        "Containers": "Containers space usage:",
        "Volumes": "Local Volumes space usage:",
        "BuildCache": f"Build cache usage: {size(sum(each.size for each in cache), 4)}",
    }
    return "\n\n".join(f"{heading}\n\n{_table(kind, shown[kind])}" for kind, heading in headings.items())


def _table(kind: str, rows: Rows) -> str:
    columns = _COLUMNS[kind]
    for row in rows:
        row["ID"] = row.get("ID", "").removeprefix("sha256:")[:_SHORT]
    return table(tuple(columns.values()), [[row[name] for name in columns] for row in rows])


def _image(each: ImageUsage) -> dict[str, str]:
    image = each.image
    repository, _, tag = image.names[0].rpartition(":") if image.names else ("<none>", "", "<none>")
    return {
        "Repository": repository,
        "Tag": tag,
        "ID": image.id,
        "CreatedSince": f"{times.duration(time.time() - image.created)} ago" if image.created else "N/A",
        "Size": size(image.size),
        "SharedSize": size(each.shared, 4),
        "UniqueSize": size(each.unique, 4),
        "Containers": str(each.containers),
    }


def _container(each: ContainerUsage) -> dict[str, str]:
    from utsuwa.cli.ps import shortened, state_text

    record = each.record
    return {
        "ID": record.id,
        "Image": record.image,
        "Command": f'"{shortened(record.command)}"',
        "LocalVolumes": str(len(volume_names(record))),
        "Size": size(each.size),
        "RunningFor": times.ago(record.createdAt),
        "Status": state_text(each.status),
        "State": each.status.name,
        "Names": record.name,
    }

"""`utsuwa ps`: the containers there are (docker ps)."""

from __future__ import annotations

import sys
import time

from utsuwa.cli import times
from utsuwa.cli.flags import LIST, NUMBER, SWITCH, WORD, Option
from utsuwa.cli.house import House, Verb
from utsuwa.cli.listing import formatted, one_line, table
from utsuwa.engine.mountpoints import volume_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.status import Status

VERB = Verb(
    "ps [OPTIONS]",
    "List containers",
    (
        Option("all", "a", SWITCH, "Show all containers (default shows just running)"),
        Option("filter", "f", LIST, "Filter output based on conditions provided"),
        Option("format", "", WORD, "Format output: 'json', 'table TEMPLATE' or a Go template"),
        Option("last", "n", NUMBER, "Show n last created containers (includes all states)"),
        Option("latest", "l", SWITCH, "Show the latest created container (includes all states)"),
        Option("no-trunc", "", SWITCH, "Don't truncate output"),
        Option("quiet", "q", SWITCH, "Only display container IDs"),
        Option("size", "s", SWITCH, "Display total file sizes"),
    ),
    most=0,
)
_HEADER = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "Ports": "PORTS",
    "Names": "NAMES",
}
_FURTHER = {
    "CreatedAt": "CREATED AT",
    "Labels": "LABELS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Mounts": "MOUNTS",
    "Networks": "NETWORKS",
    "Platform": "PLATFORM",
    "Size": "SIZE",
    "State": "STATE",
    "Label": None,
}
_COMMAND_WIDTH = 20


def run(words: list[str]) -> int:
    """Print the table."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    last = 1 if arguments.on("latest") else max(0, arguments.number("last") or 0)
    found = _find(arguments.list("filter"), arguments.on("all") or last > 0)
    found = found[:last] if last else found
    whole = arguments.on("no-trunc")
    if arguments.on("quiet"):
        if arguments.text("format"):
            print("WARNING: Ignoring custom format, because both --format and --quiet are set.", file=sys.stderr)
        text = "\n".join(record.id if whole else record.id[:12] for record, _status in found)
    elif arguments.text("format") not in ("", "table"):
        sized = arguments.on("size") or ".Size" in arguments.text("format")
        rows = [_document(record, status, whole) for record, status in found]
        for row, (record, _status) in zip(rows, found, strict=True):
            row["Size"] = _size(record) if sized else "0B"
        text = formatted(arguments.text("format"), {**_HEADER, **_FURTHER}, rows)  # type: ignore[dict-item]
    else:
        sized = arguments.on("size")
        header = (*_HEADER.values(), *(("SIZE",) if sized else ()))
        text = table(
            header,
            [(*_row(record, status, whole), *((_size(record),) if sized else ())) for record, status in found],
        )
    if text or found:
        print(text)
    return 0


def _find(filters: list[str], everything: bool) -> list[tuple[ContainerRecord, Status]]:
    house = House()
    if not filters:
        return house.containers.list(everything)
    from utsuwa.cli.filters import Filters

    wanted = Filters(filters)
    found = house.containers.list(everything=True)
    everything = everything or wanted.any_state
    shown = [pair for pair in found if everything or pair[1].alive or pair[1].restarting]
    return [pair for pair in shown if wanted.match(*pair, found)]


def _size(record: ContainerRecord) -> str:
    from utsuwa.cli.images import size
    from utsuwa.engine.sizes import sizes

    written, whole = sizes(House().images, record)
    return f"{size(written)} (virtual {size(whole)})"


def _row(record: ContainerRecord, status: Status, whole: bool) -> tuple[str, ...]:
    command = command_text(record.command) if whole else shortened(record.command)
    return (
        record.id if whole else record.id[:12],
        record.image,
        f'"{command}"',
        times.ago(record.createdAt),
        state_text(status),
        _ports(record) if status.alive else "",
        record.name,
    )


def _ports(record: ContainerRecord) -> str:
    if record.networkMode in ("none", "host"):
        return ""
    from utsuwa.engine.network_inspection import ports_column

    return ports_column(House().paths, record)


def _networks(record: ContainerRecord) -> str:
    """The networks that it wants to be in, or what it has instead."""
    from utsuwa.network.state import Places

    paths = House().paths
    plugs = Places(paths.root, paths.run).plugs(record.id)
    return ",".join(each.name for each in plugs.attachments) if plugs else record.networkMode


def command_text(words: tuple[str, ...]) -> str:
    """A command as one line, with words that hold spaces in quotes."""
    return one_line(" ".join([*words[:1], *(f"'{word}'" if " " in word else word for word in words[1:])]))


def shortened(words: tuple[str, ...]) -> str:
    """The beginning of a command, as lists show it."""
    text = command_text(words)
    return text if len(text) <= _COMMAND_WIDTH else text[: _COMMAND_WIDTH - 1] + "…"


def _document(record: ContainerRecord, status: Status, whole: bool) -> dict[str, object]:
    volumes = volume_names(record)
    mounts = [point["name"] or point["source"] for point in record.mountPoints]  # type: ignore[index]
    shown = [text if whole or len(text) <= 15 else text[:14] + "…" for text in mounts]
    return {
        **dict(zip(_HEADER, _row(record, status, whole), strict=True)),
        "CreatedAt": times.local(record.createdAt),
        "Labels": ",".join(f"{key}={record.labels[key]}" for key in sorted(record.labels)),
        "LocalVolumes": str(len(volumes)),
        "Mounts": ",".join(shown),
        "Networks": _networks(record),
        "Platform": None,
        "State": status.name,
        "Label": lambda key: record.labels.get(key, ""),
    }


def state_text(status: Status) -> str:
    """Docker's STATUS column."""
    if status.alive:
        up = times.duration(time.time() - times.parse(status.started_at))
        if status.name == "paused":
            return f"Up {up} (Paused)"
        health = f"health: {status.health}" if status.health == "starting" else status.health
        return f"Up {up} ({health})" if health else f"Up {up}"
    if status.name == "created" or status.exit is None:
        return "Created"
    when = times.ago(status.exit.finishedAt) if status.exit.finishedAt else "at an unknown time"
    return f"{'Restarting' if status.restarting else 'Exited'} ({status.exit.exitCode}) {when}"

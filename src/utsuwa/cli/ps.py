"""`utsuwa ps`: the containers there are (docker ps)."""

from __future__ import annotations

import time

from utsuwa.cli import times
from utsuwa.cli.flags import LIST, NUMBER, SWITCH, WORD, BadUsage, Option
from utsuwa.cli.house import House, Verb, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.status import Status

VERB = Verb(
    "ps [OPTIONS]",
    "List containers",
    (
        Option("all", "a", SWITCH, "Show all containers (default shows just running)"),
        Option("filter", "f", LIST, "Filter output based on conditions provided (status, name, id, label, ancestor)"),
        Option("format", "", WORD, "Format output: 'json' prints one object a line"),
        Option("last", "n", NUMBER, "Show n last created containers (includes all states)"),
        Option("latest", "l", SWITCH, "Show the latest created container (includes all states)"),
        Option("no-trunc", "", SWITCH, "Don't truncate output"),
        Option("quiet", "q", SWITCH, "Only display container IDs"),
    ),
    most=0,
)
_HEADER = ("CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES")
_FILTERS = ("status", "name", "id", "label", "ancestor", "exited")


def run(words: list[str]) -> int:
    """Print the table."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    wanted = _filters(arguments.list("filter"))
    last = 1 if arguments.on("latest") else arguments.number("last")
    everything = arguments.on("all") or last is not None or "status" in wanted or "exited" in wanted
    found = [pair for pair in House().containers.list(everything) if _matches(wanted, *pair)]
    found = found[:last] if last is not None and last >= 0 else found
    whole = arguments.on("no-trunc")
    if arguments.on("quiet"):
        for record, _status in found:
            print(record.id if whole else record.id[:12])
    elif arguments.text("format") == "json":
        from utsuwa.spec.codec import dumps

        for record, status in found:
            print(dumps(dict(zip(_JSON, _row(record, status, whole), strict=True)) | {"State": status.name}))
    elif arguments.text("format"):
        raise BadUsage(f"unsupported: ps --format {arguments.text('format')} (only json)")
    else:
        print(table(_HEADER, [_row(record, status, whole) for record, status in found]))
    return 0


_JSON = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")


def _row(record: ContainerRecord, status: Status, whole: bool) -> tuple[str, ...]:
    command = " ".join(record.command)
    if not whole and len(command) > 20:
        command = command[:19] + "…"
    return (
        record.id if whole else record.id[:12],
        record.image,
        f'"{command}"',
        times.ago(record.createdAt),
        state_text(status),
        "",
        record.name,
    )


def state_text(status: Status) -> str:
    """Docker's STATUS column."""
    if status.alive:
        up = times.duration(time.time() - times.parse(status.started_at))
        return f"Up {up}" + (" (Paused)" if status.name == "paused" else "")
    if status.exit is None:
        return "Created"
    if status.exit.error and not status.exit.startedAt and status.exit.exitCode in (125, 126, 127, 128):
        return "Created"
    when = times.ago(status.exit.finishedAt) if status.exit.finishedAt else "at an unknown time"
    return f"Exited ({status.exit.exitCode}) {when}"


def _filters(texts: list[str]) -> dict[str, list[str]]:
    wanted: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise BadUsage(f"bad format of filter (expected name=value): {text}")
        if key not in _FILTERS:
            raise BadUsage(f"invalid filter '{key}'")
        wanted.setdefault(key, []).append(value)
    return wanted


def _matches(wanted: dict[str, list[str]], record: ContainerRecord, status: Status) -> bool:
    """Values of one key are alternatives (but for labels), keys go together."""
    checks: dict[str, Callable[[str], bool]] = {
        "status": lambda value: value == status.name,
        "name": lambda value: value in record.name,
        "id": lambda value: record.id.startswith(value),
        "ancestor": lambda value: value in (record.image, record.imageId, record.imageId[7:19]),
        "exited": lambda value: status.exit is not None and str(status.code) == value,
    }
    for value in wanted.get("label", ()):
        key, equals, content = value.partition("=")
        if key not in record.labels or (equals and record.labels[key] != content):
            return False
    return all(any(checks[key](value) for value in values) for key, values in wanted.items() if key != "label")

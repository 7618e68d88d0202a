"""`utsuwa stats`: what containers use of the machine, again and again (docker stats)."""

from __future__ import annotations

import os
import time

from utsuwa.cli import output
from utsuwa.cli.flags import SWITCH, WORD, Option
from utsuwa.cli.house import House, Verb
from utsuwa.cli.images import size
from utsuwa.cli.listing import formatted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.usage import Usage

VERB = Verb(
    "stats [OPTIONS] [CONTAINER...]",
    "Display a live stream of container(s) resource usage statistics",
    (
        Option("all", "a", SWITCH, "Show all containers (default shows just running)"),
        Option("format", "", WORD, "Format output: 'json', 'table TEMPLATE' or a Go template"),
        Option("no-stream", "", SWITCH, "Disable streaming stats and only pull the first result"),
        Option("no-trunc", "", SWITCH, "Do not truncate output"),
    ),
)
_HEADER = {
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}
_TABLE = "table " + "\t".join(f"{{{{.{name}}}}}" for name in _HEADER)
_FIRST, _EVERY = 0.5, 1.0
"""Seconds from the look before to the first row, and from one row to the next."""
_CLEAR = "\033[H\033[J"
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def run(words: list[str]) -> int:
    """Print tables until nobody looks any more, or one."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    wanted = arguments.text("format")
    wanted = _TABLE if wanted in ("", "table") else wanted
    house, names = House(), arguments.words
    screen = os.isatty(1) and wanted.startswith("table") and not arguments.on("no-stream")
    for name in names:
        house.containers.find(name)
    earlier: dict[str, Usage] = _look(house, _records(house, names, arguments.on("all")))
    pause = _FIRST
    while True:
        time.sleep(pause)
        records = _records(house, names, arguments.on("all"))
        now = _look(house, records)
        rows = [_row(each, now[each.id], earlier.get(each.id), arguments.on("no-trunc")) for each in records]
        for row, name in zip(rows, names, strict=False):
            row["Container"] = name
        text = formatted(wanted, _HEADER | {"Container": "CONTAINER"}, rows)
        print(f"{_CLEAR if screen else ''}{text}" if text or screen else "", end="\n" if text else "")
        output.flush()
        if arguments.on("no-stream"):
            return 0
        earlier, pause = now, _EVERY


def _records(house: House, names: Sequence[str], everything: bool) -> list[ContainerRecord]:
    """The containers to show; those that were named and have gone since are left out."""
    from utsuwa.errors import NotFound

    if not names:
        return [record for record, _status in house.containers.list(everything)]
    found = []
    for name in names:
        try:
            found.append(house.containers.find(name))
        except NotFound:
            continue
    return found


def _look(house: House, records: Sequence[ContainerRecord]) -> dict[str, Usage]:
    from utsuwa.engine.usage import look

    return {record.id: look(house.paths, record) for record in records}


def _row(record: ContainerRecord, now: Usage, before: Usage | None, whole: bool) -> dict[str, str]:
    share = now.cpu_share(before) if before is not None and before.running else 0.0
    identifier = record.id if whole else record.id[:12]
    return {
        "BlockIO": f"{size(now.read)} / {size(now.written)}",
        "CPUPerc": f"{share:.2f}%",
        "Container": identifier,
        "ID": identifier,
        "MemPerc": f"{now.memory_share:.2f}%",
        "MemUsage": f"{binary_size(now.memory)} / {binary_size(now.limit)}",
        "Name": record.name,
        "NetIO": f"{size(now.received)} / {size(now.sent)}",
        "PIDs": str(now.pids),
    }


def binary_size(count: int) -> str:
    """Bytes with four digits, in powers of 1024, as Docker prints memory: 7.656GiB."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    return f"{value:.4g}{_UNITS[unit]}"

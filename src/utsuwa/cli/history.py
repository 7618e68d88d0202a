"""`utsuwa history`: how an image was made (docker history)."""

from __future__ import annotations

import time

from utsuwa.cli import times
from utsuwa.cli.flags import SWITCH, WORD, Option
from utsuwa.cli.house import House, Verb
from utsuwa.cli.images import size
from utsuwa.cli.listing import formatted, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.image_history import Step

VERB = Verb(
    "history [OPTIONS] IMAGE",
    "Show the history of an image",
    (
        Option("format", "", WORD, "Format output: 'json', 'table TEMPLATE' or a Go template"),
        Option("human", "H", SWITCH, "Print sizes and dates in human readable format (default true)", True),
        Option("no-trunc", "", SWITCH, "Don't truncate output"),
        Option("platform", "", WORD, "Show history for the given platform (os[/arch[/variant]])"),
        Option("quiet", "q", SWITCH, "Only show image IDs"),
    ),
    least=1,
    most=1,
)
_HEADER = {"ID": "IMAGE", "CreatedSince": "CREATED", "CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT"}
_WIDTH = 45


def run(words: list[str]) -> int:
    """One row a step, the last one first."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.engine.image_history import history

    house = House()
    image = house.images.resolve(arguments.words[0], arguments.text("platform"))
    whole, human = arguments.on("no-trunc"), arguments.on("human")
    rows = [_row(step, whole, human) for step in history(house.images.store, image)]
    header = _HEADER if human else {**_HEADER, "CreatedSince": "CREATED AT"}
    if arguments.text("format") not in ("", "table"):
        text = formatted(arguments.text("format"), {**header, "CreatedAt": "CREATED AT"}, rows)
    elif arguments.on("quiet"):
        text = "\n".join(row["ID"] for row in rows)
    else:
        text = table(tuple(header.values()), [[row[name] for name in header] for row in rows])
    if text:
        print(text)
    return 0


def _row(step: Step, whole: bool, human: bool) -> dict[str, str]:
    created_by = step.created_by.replace("\t", " ")
    if not whole and len(created_by) > _WIDTH:
        created_by = created_by[: _WIDTH - 1] + "…"
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(step.created)) if step.created else ""
    stamp = f"{stamp[:-2]}:{stamp[-2:]}" if stamp and not stamp.endswith("+0000") else stamp.replace("+0000", "Z")
    since = f"{times.duration(time.time() - step.created)} ago" if step.created else "N/A"
    return {
        "ID": step.image if whole or step.image == "<missing>" else step.image.partition(":")[2][:12],
        "CreatedSince": since if human else stamp,
        "CreatedAt": stamp,
        "CreatedBy": created_by,
        "Size": size(step.size) if human else str(step.size),
        "Comment": step.comment,
    }

"""`utsuwa events`: what happens, as it happens (docker events)."""

from __future__ import annotations

import time

from utsuwa.cli.absent import Typed
from utsuwa.cli.flags import LIST, WORD, Option
from utsuwa.cli.house import House, Verb
from utsuwa.cli.listing import one_line
from utsuwa.cli.times import moment
from utsuwa.spec.codec import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.engine.events import Event

VERB = Verb(
    "events [OPTIONS]",
    "Get real time events from the engine",
    (
        Option("filter", "f", LIST, "Filter output based on conditions provided"),
        Option("format", "", WORD, "Format output: 'json' or a Go template"),
        Option("since", "", WORD, "Show all events created since timestamp"),
        Option("until", "", WORD, "Stream events until this timestamp"),
    ),
    most=0,
)


def run(words: list[str]) -> int:
    """A line an event, until --until or Ctrl-C."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.engine.events import Filters, events

    filters = Filters(arguments.list("filter"))
    show = _shown(arguments.text("format"))
    since, until = moment(arguments.text("since")), moment(arguments.text("until"))
    for event in events(House().paths.run, since, until):
        if filters.match(event):
            print(show(event), flush=True)
    return 0


def _shown(wanted: str) -> Callable[[Event], str]:
    if not wanted:
        return line
    if wanted == "json":
        return lambda event: dumps(document(event))
    from utsuwa.cli.template import Template

    template = Template(wanted.replace("\\t", "\t").replace("\\n", "\n"))
    return lambda event: template.render(_named(event))


def document(event: Event) -> Event:
    """With the words that Docker had for events before there were types, which scripts still ask for."""
    older = {"status": event["Action"], "id": event["Actor"]["ID"]}
    if event["Type"] == "container":
        older["from"] = event["Actor"]["Attributes"].get("image", "")
    return {**(older if event["Type"] in ("container", "image") else {}), **event}


def _named(event: Event) -> Typed:
    """With the names that Go's events have, which their JSON writes small."""
    found = Typed(document(event))
    older = {"Status": event["Action"], "ID": event["Actor"]["ID"], "From": "", "Time": event["time"]}
    older["From"] = event["Actor"]["Attributes"].get("image", "") if event["Type"] == "container" else ""
    found.absent = older | {"TimeNano": event["timeNano"], "Scope": event.get("scope", "local")}
    return found


def line(event: Event) -> str:
    """``TIME TYPE ACTION ID (key=value, …)``."""
    nanoseconds, actor = event["timeNano"], event["Actor"]
    when = time.localtime(nanoseconds // 1_000_000_000)
    zone = time.strftime("%z", when)
    stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', when)}.{nanoseconds % 1_000_000_000:09}"
    stamp += "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    attributes = ", ".join(f"{key}={actor['Attributes'][key]}" for key in sorted(actor["Attributes"]))
    text = f"{stamp} {event['Type']} {event['Action']} {actor['ID']}" + (f" ({attributes})" if attributes else "")
    return one_line(text)

"""`utsuwa inspect`: all that is known of containers and images (docker inspect)."""

from __future__ import annotations

import sys

from utsuwa.cli import output
from utsuwa.cli.flags import WORD, BadUsage, Option
from utsuwa.cli.house import House, Verb
from utsuwa.errors import NotFound, printable
from utsuwa.spec.codec import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.cli.template import Template

VERB = Verb(
    "inspect [OPTIONS] NAME|ID [NAME|ID...]",
    "Return low-level information on containers and images",
    (
        Option("format", "f", WORD, "Format output: 'json' or a Go template, as '{{.State.Status}}'"),
        Option("type", "", WORD, "Only look for a container or an image"),
    ),
    least=1,
)


def run(words: list[str]) -> int:
    """Print a list of documents, or one line for each."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    kind = arguments.text("type")
    if kind not in ("", "container", "image"):
        raise BadUsage(f"unsupported: inspect --type {kind} (container or image)")
    wanted = arguments.text("format")
    template = _template(wanted)
    house, found, missing = House(), [], []
    for name in arguments.words:
        try:
            found.append(_document(house, name, kind))
        except NotFound:
            missing.append(f"No such {kind or 'object'}: {name}")
    if template is None:
        print(dumps(found, None if wanted else 4))
    else:
        for document in found:
            print(template.render(document))
    output.flush()
    for text in missing:
        print(f"utsuwa: {printable(text)}", file=sys.stderr)
    return int(bool(missing))


def _template(wanted: str) -> Template | None:
    """What to print of each document; None for the whole of all."""
    if wanted in ("", "json"):
        return None
    from utsuwa.cli.template import Template

    return Template(wanted)


def _document(house: House, name: str, kind: str) -> dict[str, object]:
    from utsuwa.engine import inspection

    if kind != "image":
        try:
            record = house.containers.find(name)
            return inspection.container(house.paths, record, house.containers.status(record))
        except NotFound:
            if kind:
                raise
    from utsuwa.engine.image_document import document

    return document(house.images, house.images.resolve(name))

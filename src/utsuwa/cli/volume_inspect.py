"""`utsuwa volume inspect`: all that is known of volumes (docker volume inspect)."""

from __future__ import annotations

import sys

from utsuwa.cli import output
from utsuwa.cli.flags import WORD, Option
from utsuwa.cli.house import House, Verb
from utsuwa.errors import NotFound, printable
from utsuwa.spec.codec import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.volumes import VolumeRecord, Volumes

VERB = Verb(
    "volume inspect [OPTIONS] VOLUME [VOLUME...]",
    "Display detailed information on one or more volumes",
    (Option("format", "f", WORD, "Format output: 'json' or a Go template, as '{{.Mountpoint}}'"),),
    least=1,
)


def run(words: list[str]) -> int:
    """Print a list of documents, or one line for each."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    volumes, wanted = House().volumes, arguments.text("format")
    found, missing = [], []
    for name in arguments.words:
        try:
            found.append(document(volumes, volumes.find(name)))
        except NotFound as error:
            missing.append(str(error))
    if wanted in ("", "json"):
        print(dumps(found, None if wanted else 4))
    else:
        from utsuwa.cli.template import Template

        for each in found:
            print(Template(wanted).render(each))
    output.flush()
    for text in missing:
        print(f"utsuwa: {printable(text)}", file=sys.stderr)
    return int(bool(missing))


def document(volumes: Volumes, record: VolumeRecord) -> dict[str, object]:
    """A volume in the shape of Docker's ``GET /volumes/{name}``."""
    return {
        "CreatedAt": record.createdAt,
        "Driver": record.driver,
        "Labels": record.labels,
        "Mountpoint": volumes.data(record.name),
        "Name": record.name,
        "Options": record.options,
        "Scope": "local",
    }

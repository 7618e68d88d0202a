"""`utsuwa inspect`: all that is known of containers, images, networks and volumes (docker inspect)."""

from __future__ import annotations

import sys

from utsuwa.cli import output
from utsuwa.cli.flags import SWITCH, WORD, BadUsage, Option
from utsuwa.cli.house import House, Verb
from utsuwa.errors import NotFound, Unsupported, printable
from utsuwa.spec.codec import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.cli.flags import Arguments
    from utsuwa.cli.template import Template

VERB = Verb(
    "inspect [OPTIONS] NAME|ID [NAME|ID...]",
    "Return low-level information on containers and images",
    (
        Option("format", "f", WORD, "Format output: 'json' or a Go template, as '{{.State.Status}}'"),
        Option("platform", "", WORD, "Inspect a specific platform of an image that has several"),
        Option("size", "s", SWITCH, "Display total file sizes if the type is container"),
        Option("type", "", WORD, "Only look for a container, an image, a network or a volume"),
    ),
    least=1,
)


def run(words: list[str]) -> int:
    """Print a list of documents, or one line for each."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    kind = arguments.text("type")
    if kind not in ("", *_LOOKS):
        known = ", ".join(f'"{each}"' for each in _LOOKS)
        raise Unsupported(f'unknown type: "{kind}": must be one of {known}')
    if arguments.text("platform") and kind != "image":
        raise BadUsage("--platform is for images only: use 'utsuwa image inspect', or --type image")
    wanted = arguments.text("format")
    template = _template(wanted)
    house, found, missing = House(), [], []
    for name in arguments.words:
        try:
            found.append(_document(house, name, kind, arguments))
        except NotFound as error:
            told = arguments.text("platform") and str(error)
            missing.append(told or f"No such {kind or 'object'}: {name}")
    if template is None:
        print(dumps(found, None if wanted else 4))
    else:
        from utsuwa.cli.absent import typed

        for document in found:
            print(template.render(typed(document)))
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


def _document(house: House, name: str, kind: str, arguments: Arguments) -> dict[str, object]:
    for look in [_LOOKS[kind]] if kind else _LOOKS.values():
        try:
            return look(house, name, arguments)
        except NotFound:
            if kind:
                raise
    raise NotFound(name)


def _container(house: House, name: str, arguments: Arguments) -> dict[str, object]:
    from utsuwa.engine import inspection

    record = house.containers.find(name)
    found = inspection.container(house.paths, record, house.containers.status(record))
    if arguments.on("size"):
        from utsuwa.engine.sizes import sizes

        found["SizeRw"], found["SizeRootFs"] = sizes(house.images, record)
    return found


def _image(house: House, name: str, arguments: Arguments) -> dict[str, object]:
    from utsuwa.engine.image_document import document

    found = house.images.resolve(name, arguments.text("platform"))
    _ignore(arguments, "image")
    return document(house.images, found)


def _network(house: House, name: str, arguments: Arguments) -> dict[str, object]:
    from utsuwa.engine.network_inspection import network
    from utsuwa.engine.networks import Networks

    found = Networks(house.paths).find(name)
    _ignore(arguments, "network")
    return network(house.paths, found)


def _volume(house: House, name: str, arguments: Arguments) -> dict[str, object]:
    from utsuwa.cli.volume_inspect import document

    found = house.volumes.find(name)
    _ignore(arguments, "volume")
    return document(house.volumes, found)


def _ignore(arguments: Arguments, kind: str) -> None:
    if arguments.on("size"):
        print(f"WARNING: --size ignored for {kind}", file=sys.stderr)


_LOOKS = {"container": _container, "image": _image, "network": _network, "volume": _volume}
"""What has a name, in the order in which it is looked for."""

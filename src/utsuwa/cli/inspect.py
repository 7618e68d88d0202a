"""`utsuwa inspect`: all that is known of containers and images (docker inspect)."""

from __future__ import annotations

import sys

from utsuwa.cli.flags import WORD, BadUsage, Option
from utsuwa.cli.house import House, Verb
from utsuwa.errors import NotFound
from utsuwa.spec.codec import dumps

VERB = Verb(
    "inspect [OPTIONS] NAME|ID [NAME|ID...]",
    "Return low-level information on containers and images",
    (
        Option("format", "f", WORD, "Print one property: '{{.State.Status}}', '{{json .Config}}'"),
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
    house, found, code = House(), [], 0
    for name in arguments.words:
        try:
            found.append(_document(house, name, kind))
        except NotFound:
            print(f"utsuwa: no such {kind or 'object'}: {name}", file=sys.stderr)
            code = 1
    if arguments.text("format"):
        for document in found:
            print(render(document, arguments.text("format")))
    else:
        print(dumps(found, 4))
    return code


def _document(house: House, name: str, kind: str) -> dict[str, object]:
    from utsuwa.engine import inspection

    if kind != "image":
        try:
            record = house.containers.find(name)
            return inspection.container(house.paths, record, house.containers.status(record))
        except NotFound:
            if kind:
                raise
    return inspection.image(house.images.resolve(name))


def render(document: object, template: str) -> str:
    """A template of text and ``{{.Path.To.Property}}`` or ``{{json .Path}}``; the rest of Go's language is BadUsage."""
    result, rest = "", template
    while "{{" in rest:
        before, _, rest = rest.partition("{{")
        inside, end, rest = rest.partition("}}")
        if not end:
            raise BadUsage(f"template parsing error: unclosed action in {template!r}")
        result += before + _value(document, inside.strip())
    return result + rest


def _value(document: object, text: str) -> str:
    as_json = text.startswith("json ")
    path = text[5:].strip() if as_json else text
    if not path.startswith("."):
        raise BadUsage(f"unsupported: template {{{{{text}}}}} (only {{{{.Path.To.Property}}}} and {{{{json .Path}}}})")
    value = document
    for key in filter(None, path.split(".")):
        if not isinstance(value, dict) or key not in value:
            raise BadUsage(f"template: there is no {path} here")
        value = value[key]
    if as_json:
        return dumps(value)
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "<no value>"
    if isinstance(value, list):
        return f"[{' '.join(map(str, value))}]"
    return f"map[{' '.join(f'{k}:{v}' for k, v in value.items())}]" if isinstance(value, dict) else str(value)

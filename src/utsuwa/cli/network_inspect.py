"""`utsuwa network inspect` (docker network inspect)."""

from __future__ import annotations

import sys

from utsuwa.cli import output
from utsuwa.cli.flags import SWITCH, WORD, Option
from utsuwa.cli.house import House, Verb
from utsuwa.errors import NotFound, printable
from utsuwa.spec.codec import dumps

VERB = Verb(
    "network inspect [OPTIONS] NETWORK [NETWORK...]",
    "Display detailed information on one or more networks",
    (
        Option("format", "f", WORD, "Format output: 'json' or a Go template"),
        Option("verbose", "v", SWITCH, "Ask the plugins of a CNI network if all is as they made it"),
    ),
    least=1,
)


def run(words: list[str]) -> int:
    """Print a list of documents, or one line for each."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.engine.network_inspection import network
    from utsuwa.engine.networks import Networks

    wanted = arguments.text("format")
    house, missing, found = House(), [], []
    networks = Networks(house.paths)
    for name in arguments.words:
        try:
            found.append(network(house.paths, networks.find(name), ask=arguments.on("verbose")))
        except NotFound as error:
            missing.append(str(error))
    if wanted in ("", "json"):
        print(dumps(found, None if wanted else 4))
    else:
        from utsuwa.cli.template import Template

        template = Template(wanted)
        for document in found:
            print(template.render(document))
    output.flush()
    for text in missing:
        print(f"utsuwa: {printable(text)}", file=sys.stderr)
    return int(bool(missing))

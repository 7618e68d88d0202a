"""`utsuwa volume create`: make a volume (docker volume create)."""

from __future__ import annotations

from utsuwa.cli.flags import LIST, WORD, BadUsage, Option
from utsuwa.cli.house import House, Verb
from utsuwa.spec import flags

VERB = Verb(
    "volume create [OPTIONS] [VOLUME]",
    "Create a volume",
    (
        Option("driver", "d", WORD, "Specify volume driver name (local)", "local"),
        Option("label", "", LIST, "Set metadata for a volume"),
        Option("name", "", WORD, "As the argument VOLUME"),
        Option("opt", "o", LIST, "Set driver specific options (type, device, o)"),
    ),
    most=1,
)


def run(words: list[str]) -> int:
    """Print the volume's name."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    if arguments.text("name") and arguments.words:
        raise BadUsage("conflicting options: cannot specify a volume-name through both --name and as a positional arg")
    name = arguments.text("name") or "".join(arguments.words)
    options = dict(text.partition("=")[::2] for text in arguments.list("opt"))
    labels = flags.parse_labels(arguments.list("label"))
    print(House().volumes.create(name, driver=arguments.text("driver"), options=options, labels=labels).name)
    return 0

"""`utsuwa load`: an image from an archive (docker load)."""

from __future__ import annotations

from utsuwa.cli.flags import SWITCH, WORD, BadUsage, Option
from utsuwa.cli.house import House, Verb

VERB = Verb(
    "load [OPTIONS]",
    "Load an image from an OCI layout (a tar archive or a directory)",
    (
        Option("input", "i", WORD, "Read from this tar archive file or directory"),
        Option("quiet", "q", SWITCH, "Suppress the load output"),
    ),
    most=0,
)


def run(words: list[str]) -> int:
    """Print the image's names, or its id when it brought none along."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    if not arguments.text("input"):
        raise BadUsage("name the archive or directory with --input")
    from utsuwa.image.load import load_layout

    image = load_layout(House().images.store, arguments.text("input"))
    for name in image.names:
        print(f"Loaded image: {name}")
    if not image.names:
        print(f"Loaded image ID: {image.id}")
    return 0

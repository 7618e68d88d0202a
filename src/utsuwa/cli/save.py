"""`utsuwa save`: images as one tar archive (docker save)."""

from __future__ import annotations

from utsuwa.cli.flags import WORD, Option
from utsuwa.cli.house import House, Verb
from utsuwa.cli.stream_out import write_stream

VERB = Verb(
    "save [OPTIONS] IMAGE [IMAGE...]",
    "Save one or more images to a tar archive (streamed to STDOUT by default)",
    (
        Option("output", "o", WORD, "Write to a file, instead of STDOUT"),
        Option("platform", "", WORD, "Save only the given platform variant (os[/arch[/variant]])"),
    ),
    least=1,
)


def run(words: list[str]) -> int:
    """Write the archive."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.image.save import save
    from utsuwa.spec import platform

    house = House()
    asked = platform.parse(arguments.text("platform")) if arguments.text("platform") else None
    chunks = save(house.images.store, arguments.words, asked)
    for name in arguments.words:
        house.images.note("save", name, name)
    write_stream(chunks, arguments.text("output"), "cowardly refusing to save to a terminal")
    return 0

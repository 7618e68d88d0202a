"""`utsuwa export`: a container's root file system as a tar archive (docker export)."""

from __future__ import annotations

from utsuwa.cli.flags import WORD, Option
from utsuwa.cli.house import House, Verb
from utsuwa.cli.stream_out import write_stream

VERB = Verb(
    "export [OPTIONS] CONTAINER",
    "Export a container's filesystem as a tar archive",
    (Option("output", "o", WORD, "Write to a file, instead of STDOUT"),),
    least=1,
    most=1,
)


def run(words: list[str]) -> int:
    """Write the archive."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.engine.commit import export
    from utsuwa.engine.events import note

    house = House()
    record = house.containers.find(arguments.words[0])
    write_stream(export(house.images, record), arguments.text("output"), "cowardly refusing to save to a terminal")
    note(house.paths, record, "export")
    return 0

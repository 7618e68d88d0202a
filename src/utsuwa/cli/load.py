"""`utsuwa load`: images from an archive (docker load)."""

from __future__ import annotations

import os
import stat

from utsuwa.cli.flags import SWITCH, WORD, Option
from utsuwa.cli.house import House, Verb
from utsuwa.errors import Error, InvalidArgument

_CHUNK = 1 << 20
VERB = Verb(
    "load [OPTIONS]",
    "Load an image from a tar archive or STDIN",
    (
        Option("input", "i", WORD, "Read from this tar archive file or directory, instead of STDIN"),
        Option("platform", "", WORD, "Load only the given platform variant (os[/arch[/variant]])"),
        Option("quiet", "q", SWITCH, "Suppress the load output"),
    ),
    most=0,
)


def run(words: list[str]) -> int:
    """Print the images' names, or the id of one that brought none along."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.image.load import load
    from utsuwa.spec import platform

    house = House()
    path = arguments.text("input") or _standard_input(house.paths.root)
    try:
        asked = platform.parse(arguments.text("platform")) if arguments.text("platform") else None
        loaded = load(house.images.store, path, asked)
    except Error as error:
        house.images.store.collect()  # whoever tries again brings all of it again
        if arguments.text("input"):
            raise
        raise type(error)(str(error).replace(path, "stdin")) from error
    for image, names in loaded:
        house.images.note("load", image.id, image.id)
        for name in names:
            print(f"Loaded image: {name.familiar()}")
        if not names:
            print(f"Loaded image ID: {image.id}")
    return 0


def _standard_input(scratch: str) -> str:
    """A path for what comes in. The archive is read at many places: a pipe goes to a file without a name first."""
    if os.isatty(0):
        raise InvalidArgument("requested load from stdin, but stdin is empty")
    if stat.S_ISREG(os.fstat(0).st_mode):
        return "/dev/stdin"
    os.makedirs(scratch, 0o711, exist_ok=True)
    file = os.open(scratch, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    while data := os.read(0, _CHUNK):
        while data:
            data = data[os.write(file, data) :]
    return f"/proc/self/fd/{file}"

"""`utsuwa cp`: files between a container and the host (docker cp)."""

from __future__ import annotations

import os
import sys

from utsuwa.cli.flags import SWITCH, Arguments, Option
from utsuwa.cli.house import House, Verb
from utsuwa.errors import Error, InvalidArgument, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.copies import Copies

VERB = Verb(
    "cp [OPTIONS] CONTAINER:SRC_PATH DEST_PATH|- | SRC_PATH|- CONTAINER:DEST_PATH",
    "Copy files/folders between a container and the local filesystem",
    (
        Option("archive", "a", SWITCH, "Archive mode (copy all uid/gid information)"),
        Option("follow-link", "L", SWITCH, "Always follow symbol link in SRC_PATH"),
        Option("quiet", "q", SWITCH, "Suppress progress output during copy"),
    ),
    least=2,
    most=2,
)


def run(words: list[str]) -> int:
    """Print nothing, but to a terminal how much it was."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    (source, path), (target, place) = map(_split, arguments.words)
    if source and target:
        raise InvalidArgument("copying between containers is not supported")
    if not (source or target):
        raise InvalidArgument("must specify at least one container source")
    if not (path if source else place):
        raise InvalidArgument("source can not be empty" if source else "destination can not be empty")
    from utsuwa.engine.copies import Copies

    house = House()
    copies = Copies(house.paths, house.containers.find(source or target))
    size = _out(copies, arguments, path, place) if source else _in(copies, arguments, path, place)
    if not arguments.on("quiet") and "-" not in arguments.words and os.isatty(2):
        from utsuwa.cli.images import size as shown

        print(f"Successfully copied {shown(size)} to {printable(arguments.words[1])}", file=sys.stderr)
    return 0


def _out(copies: Copies, arguments: Arguments, path: str, place: str) -> int:
    follow = arguments.on("follow-link")
    if place != "-":
        size, skipped = copies.get(path, place, follow=follow, rights=arguments.on("archive"))
        for name in skipped:
            print(f"utsuwa: {name}: is a device, which is copied with --archive only", file=sys.stderr)
        return size
    if os.isatty(1):
        raise InvalidArgument("refusing to copy to a terminal: redirect the output, or name a destination")
    size = 0
    for chunk in copies.archive(path, follow=follow):
        view = memoryview(chunk)
        while view:
            view = view[os.write(1, view) :]
        size += len(chunk)
    return size


def _in(copies: Copies, arguments: Arguments, path: str, place: str) -> int:
    as_user = arguments.on("archive")
    if path != "-":
        return copies.put(path, place, follow=arguments.on("follow-link"), as_user=as_user)
    from utsuwa.snapshot.compression import decompressed

    try:
        return copies.extract(decompressed(lambda count: os.read(0, count)), place, as_user=as_user)
    except Error as error:
        error.args = (str(error).replace("layer archive", "archive").replace("the layer", "the archive"),)
        raise


def _split(word: str) -> tuple[str, str]:
    """Container and path; the container is "" for a path of the host."""
    container, colon, path = word.partition(":")
    if word.startswith("/") or not colon or container.startswith("."):
        return "", word
    return container, path

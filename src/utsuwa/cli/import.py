"""`utsuwa import`: an image from an archive of a file system (docker import)."""

from __future__ import annotations

import os

from utsuwa.cli.flags import LIST, WORD, Option
from utsuwa.cli.house import House, Verb
from utsuwa.errors import Unavailable, from_oserror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

VERB = Verb(
    "import [OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    "Import the contents from a tarball to create a filesystem image",
    (
        Option("change", "c", LIST, "Apply Dockerfile instruction to the created image"),
        Option("message", "m", WORD, "Set commit message for imported image"),
        Option("platform", "", WORD, "Set platform of the image"),
    ),
    least=1,
    most=2,
)


def run(words: list[str]) -> int:
    """Print the image's ID."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.image.import_archive import import_archive
    from utsuwa.image.names import new_name
    from utsuwa.monitor.records import now
    from utsuwa.spec import platform

    source, *rest = arguments.words
    house = House()
    image = import_archive(
        house.images.store,
        _source(source),
        now(),
        new_name(rest[0]) if rest else None,
        arguments.text("message") or f"Imported from {source}",
        arguments.list("change"),
        platform.parse(arguments.text("platform")) if arguments.text("platform") else None,
    )
    house.images.note("import", image.id)
    print(image.id)
    return 0


def _source(text: str) -> Callable[[int], bytes]:
    from utsuwa.image.import_archive import reader

    if text == "-":
        return reader(0)
    if text.startswith(("http://", "https://")):
        return _download(text)
    try:
        return reader(os.open(text, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise from_oserror(error, f"open {text}") from None


def _download(url: str) -> Callable[[int], bytes]:
    """The body of an answer, as it arrives."""
    import urllib.request

    try:
        answer = urllib.request.urlopen(url, timeout=60)
    except (OSError, ValueError) as error:
        raise Unavailable(f"{url}: {str(error).lower()}") from None

    def read(count: int) -> bytes:
        try:
            return answer.read(count)  # type: ignore[no-any-return]
        except OSError as error:
            raise Unavailable(f"{url}: {str(error).lower()}") from None

    return read

"""`utsuwa rmi`: remove images (docker rmi)."""

from __future__ import annotations

from utsuwa.cli.flags import LIST, SWITCH, Option
from utsuwa.cli.house import House, Verb, each
from utsuwa.engine.images import with_tag
from utsuwa.errors import NotFound
from utsuwa.image.remove import remove as remove_image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.cli.flags import Arguments
    from utsuwa.image.remove import Removal, Use
    from utsuwa.image.store import ImageStore

VERB = Verb(
    "rmi [OPTIONS] IMAGE [IMAGE...]",
    "Remove one or more images",
    (
        Option("force", "f", SWITCH, "Force removal of the image"),
        Option("no-prune", "", SWITCH, "Do not delete untagged parents"),
        Option("platform", "", LIST, "Remove only the given platform variant"),
    ),
    least=1,
)


def run(words: list[str]) -> int:
    """Print what was untagged and deleted."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    house = House()
    uses = house.images.uses(house.containers)

    def remove(name: str) -> str | None:
        try:
            identifier = house.images.resolve(name).id
            removal = _remove(house.images.store, name, uses, arguments)
        except NotFound:
            if arguments.on("force"):
                return None
            raise NotFound(f"No such image: {with_tag(name)}") from None
        for _name in removal.untagged:
            house.images.note("untag", identifier, identifier)
        for image in removal.images:
            house.images.note("delete", image, image)
        return told(removal) or None

    return each(arguments.words, remove)


def _remove(store: ImageStore, name: str, uses: dict[str, Use], arguments: Arguments) -> Removal:
    force = arguments.on("force")
    wanted = [each for text in arguments.list("platform") for each in text.split(",")]
    if not wanted:
        return remove_image(store, name, uses, force, not arguments.on("no-prune"))
    from utsuwa.image.remove import Removal, remove_platform
    from utsuwa.spec import platform

    done = [remove_platform(store, name, platform.parse(each), uses, force) for each in wanted]
    parts = [[text for one in done for text in getattr(one, part)] for part in ("untagged", "images", "layers")]
    return Removal(untagged=tuple(dict.fromkeys(parts[0])), images=tuple(parts[1]), layers=tuple(parts[2]))


def told(removal: Removal) -> str:
    """One line for every name and every image or layer."""
    return "\n".join(
        [*(f"Untagged: {name}" for name in removal.untagged), *(f"Deleted: {digest}" for digest in removal.deleted)]
    )

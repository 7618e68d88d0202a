"""`utsuwa image prune`: remove the images that nothing needs (docker image prune)."""

from __future__ import annotations

from utsuwa.cli.container_prune import confirm
from utsuwa.cli.flags import LIST, SWITCH, Option
from utsuwa.cli.house import House, Verb
from utsuwa.cli.images import size

VERB = Verb(
    "image prune [OPTIONS]",
    "Remove unused images",
    (
        Option("all", "a", SWITCH, "Remove all unused images, not just dangling ones"),
        Option("filter", "", LIST, 'Provide filter values (e.g. "until=<timestamp>")'),
        Option("force", "f", SWITCH, "Do not prompt for confirmation"),
    ),
    most=0,
)
_ALL = "WARNING! This will remove all images without at least one container associated to them.\n"
_DANGLING = "WARNING! This will remove all dangling images.\n"
_QUESTION = "Are you sure you want to continue? [y/N] "


def run(words: list[str]) -> int:
    """Print what was removed, and how much room that made."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    warning = _ALL if arguments.on("all") else _DANGLING
    if not (arguments.on("force") or confirm(warning + _QUESTION)):
        return 1
    lines, freed = removed(House(), arguments.list("filter"), everything=arguments.on("all"))
    if lines:
        print("Deleted Images:", *lines, "", sep="\n")
    print(f"Total reclaimed space: {size(freed)}")
    return 0


def removed(house: House, filters: list[str], *, everything: bool) -> tuple[list[str], int]:
    """Remove them; a line for everything that is gone, and the bytes that this freed."""
    from utsuwa.cli.times import moment
    from utsuwa.engine.image_filters import PRUNE_KEYS, ImageFilters
    from utsuwa.engine.image_pruning import prune

    wanted = ImageFilters(filters, PRUNE_KEYS, house.images, moment)
    everything = wanted.dangling is False if wanted.dangling is not None else everything
    untagged, deleted, freed = prune(
        house.images,
        house.containers,
        lambda image: wanted.match(image, wanted.dangling if wanted.dangling is not None else True),
        everything=everything,
    )
    return [*(f"untagged: {name}" for name in untagged), *(f"deleted: {digest}" for digest in deleted)], freed

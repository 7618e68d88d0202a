"""`utsuwa system prune`: remove what nothing needs (docker system prune)."""

from __future__ import annotations

from utsuwa.cli.container_prune import condition, confirm
from utsuwa.cli.flags import LIST, SWITCH, Option
from utsuwa.cli.house import House, Verb
from utsuwa.cli.image_prune import removed
from utsuwa.cli.images import size

VERB = Verb(
    "system prune [OPTIONS]",
    "Remove unused data",
    (
        Option("all", "a", SWITCH, "Remove all unused images not just dangling ones"),
        Option("filter", "", LIST, 'Provide filter values (e.g. "label=<key>=<value>")'),
        Option("force", "f", SWITCH, "Do not prompt for confirmation"),
        Option("volumes", "", SWITCH, "Prune anonymous volumes"),
    ),
    most=0,
)


def run(words: list[str]) -> int:
    """Print what was removed, kind by kind, and how much room that made."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    if not (arguments.on("force") or confirm(_warning(arguments.on("all"), arguments.on("volumes")))):
        return 1
    from utsuwa.engine.networks import Networks
    from utsuwa.engine.pruning import prune

    house, filters = House(), arguments.list("filter")
    chosen = condition(filters)
    containers, total = prune(house.containers, house.images, chosen)
    _tell("Deleted Containers:", containers)
    _tell("Deleted Networks:", Networks(house.paths).prune(chosen))
    if arguments.on("volumes"):
        total += _volumes(house, filters)
    lines, freed = removed(house, filters, everything=arguments.on("all"))
    _tell("Deleted Images:", lines)
    total += freed + _build_cache(house, everything=arguments.on("all"))
    print(f"Total reclaimed space: {size(total)}")
    return 0


def _build_cache(house: House, *, everything: bool) -> int:
    from utsuwa.build.cache import Cache
    from utsuwa.build.workshop import sweep

    sweep(house.paths, house.images)
    gone = Cache(house.images.store).prune(everything)
    _tell("Deleted build cache objects:", [found.id for found in gone])
    freed = sum(found.size for found in gone)
    house.images.note_pruned("builder", freed)
    return freed


def _volumes(house: House, filters: list[str]) -> int:
    from utsuwa.cli import volume_filters

    wanted = volume_filters.parse(
        [text for text in filters if not text.startswith("until=")], volume_filters.PRUNE_KEYS
    )
    names, freed = house.volumes.prune(lambda record: record.anonymous and volume_filters.match(wanted, record))
    _tell("Deleted Volumes:", names)
    return freed


def _tell(title: str, lines: list[str]) -> None:
    if lines:
        print(title, *lines, "", sep="\n")


def _warning(everything: bool, volumes: bool) -> str:
    images = "all images without at least one container associated to them" if everything else "all dangling images"
    cache = "all build cache" if everything else "dangling build cache"
    kinds = ["all stopped containers", "all networks not used by at least one container", images, cache]
    if volumes:
        kinds.insert(2, "all anonymous volumes not used by at least one container")
    lines = "".join(f"  - {kind}\n" for kind in kinds)
    return f"WARNING! This will remove:\n{lines}\nAre you sure you want to continue? [y/N] "

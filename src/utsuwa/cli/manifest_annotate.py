"""`utsuwa manifest annotate`: what a list says of an image's platform (docker manifest annotate)."""

from __future__ import annotations

from utsuwa.cli.flags import LIST, WORD, Option
from utsuwa.cli.house import House, Verb

VERB = Verb(
    "manifest annotate [OPTIONS] MANIFEST_LIST MANIFEST",
    "Add additional information to a local image manifest",
    (
        Option("arch", "", WORD, "Set architecture"),
        Option("os", "", WORD, "Set operating system"),
        Option("os-features", "", LIST, "Set operating system feature"),
        Option("os-version", "", WORD, "Set operating system version"),
        Option("variant", "", WORD, "Set architecture variant"),
    ),
    least=2,
    most=2,
)
_FIELDS = {"arch": "architecture", "os": "os", "os-version": "os_version", "variant": "variant"}


def run(words: list[str]) -> int:
    """Print nothing."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.image.lists import Lists
    from utsuwa.spec import reference

    name, member = map(reference.parse, arguments.words)
    values: dict[str, object] = {
        field: arguments.text(option) for option, field in _FIELDS.items() if arguments.text(option)
    }
    features = tuple(each for text in arguments.list("os-features") for each in text.split(","))
    if features:
        values["os_features"] = features
    Lists(House().images.store.root).change(name, member, values)
    return 0

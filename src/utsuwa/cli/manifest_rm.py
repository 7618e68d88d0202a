"""`utsuwa manifest rm`: forget lists; what was pushed stays where it is (docker manifest rm)."""

from __future__ import annotations

from utsuwa.cli.house import House, Verb, each

VERB = Verb(
    "manifest rm MANIFEST_LIST [MANIFEST_LIST...]", "Delete one or more manifest lists from local storage", least=1
)


def run(words: list[str]) -> int:
    """Print nothing but complaints."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.image.lists import Lists
    from utsuwa.spec import reference

    lists = Lists(House().images.store.root)
    return each(arguments.words, lambda name: lists.remove(reference.parse(name)))

"""`utsuwa commit`: an image of a container's changes (docker commit)."""

from __future__ import annotations

from utsuwa.cli.flags import LIST, SWITCH, WORD, Option
from utsuwa.cli.house import House, Verb

VERB = Verb(
    "commit [OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    "Create a new image from a container's changes",
    (
        Option("author", "a", WORD, 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")'),
        Option("change", "c", LIST, "Apply Dockerfile instruction to the created image"),
        Option("message", "m", WORD, "Commit message"),
        Option("pause", "p", SWITCH, "Pause container during commit (default true)", True),
    ),
    least=1,
    most=2,
)


def run(words: list[str]) -> int:
    """Print the image's ID."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.engine import commit
    from utsuwa.engine.events import note
    from utsuwa.image.names import new_name

    house = House()
    container, *rest = arguments.words
    asked = commit.Asked(
        new_name(rest[0]) if rest else None,
        arguments.text("author"),
        arguments.text("message"),
        arguments.list("change"),
    )
    record = house.containers.find(container)
    made = commit.commit(house.paths, house.images, record, asked, pause=arguments.on("pause"))
    note(house.paths, record, "commit", imageID=made.id, imageRef=asked.name.familiar() if asked.name else "")
    print(made.id)
    return 0

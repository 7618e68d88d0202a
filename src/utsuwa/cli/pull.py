"""`utsuwa pull`: an image from a registry (docker pull)."""

from __future__ import annotations

from utsuwa.cli.flags import SWITCH, WORD, Option
from utsuwa.cli.house import House, Verb

VERB = Verb(
    "pull [OPTIONS] NAME[:TAG|@DIGEST]",
    "Download an image from a registry",
    (
        Option("all-tags", "a", SWITCH, "Download all tagged images in the repository"),
        Option("platform", "", WORD, "Set platform if the registry has several"),
        Option("quiet", "q", SWITCH, "Suppress verbose output"),
    ),
    least=1,
    most=1,
)


def run(words: list[str]) -> int:
    """Show the progress, then print the image's name."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    import sys

    from utsuwa.cli.pulling import pull, pull_all

    platform, quiet = arguments.text("platform"), arguments.on("quiet")
    act = pull_all if arguments.on("all-tags") else pull
    print(act(House(), arguments.words[0], platform, quiet=quiet, out=sys.stdout))
    return 0

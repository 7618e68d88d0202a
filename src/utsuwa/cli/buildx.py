"""`utsuwa buildx`: builds by the name that Docker's newer builder has (docker buildx). There is one builder here."""

from __future__ import annotations

from utsuwa.cli import builder, version
from utsuwa.cli.flags import BadUsage
from utsuwa.errors import Unsupported

_VERBS = {
    "build": "Start a build",
    "du": "Disk usage of the cache",
    "prune": "Remove build cache",
    "version": "Show the version information",
}
_INSTEAD = {
    **dict.fromkeys(("create", "use", "stop", "rm", "ls", "inspect"), "there is one builder, leave it out"),
    **dict.fromkeys(("bake", "history", "debug", "dial-stdio"), "use build"),
    "imagetools": "use manifest, or push with --platform",
}


class VERB:
    """What is said after a complaint."""

    usage = "buildx COMMAND"


def run(words: list[str]) -> int:
    """The exit code of the verb that comes first. Raises Unsupported for those of several builders."""
    verb, *rest = words or ["--help"]
    if verb in ("-h", "--help"):
        rows = [f"  {name:10}{purpose}" for name, purpose in _VERBS.items()]
        print("\n".join(["Usage:  utsuwa buildx COMMAND", "", "Manage builds", "", "Commands:", *rows]))
        return 0
    if verb in _INSTEAD:
        raise Unsupported(f"unsupported: buildx {verb} ({_INSTEAD[verb]})")
    if verb == "version":
        return version.run(rest)
    if verb not in (*_VERBS, "b"):
        error = BadUsage(f"unknown command: utsuwa buildx {verb}")
        error.exit_code = 1
        raise error
    return builder.run(["build" if verb == "b" else verb, *rest])

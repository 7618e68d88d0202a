"""`utsuwa volume`: the verbs for volumes (docker volume)."""

from __future__ import annotations

from utsuwa.cli.flags import BadUsage

_VERBS = {
    "create": "Create a volume",
    "inspect": "Display detailed information on one or more volumes",
    "ls": "List volumes",
    "prune": "Remove unused local volumes",
    "rm": "Remove one or more volumes",
}
_ALIASES = {"list": "ls", "remove": "rm"}


class VERB:
    """What is said after a complaint."""

    usage = "volume COMMAND"


def run(words: list[str]) -> int:
    """The exit code of the verb that comes first."""
    verb, *rest = words or ["--help"]
    if verb in ("-h", "--help"):
        rows = [f"  {name:10}{purpose}" for name, purpose in _VERBS.items()]
        print("\n".join(["Usage:  utsuwa volume COMMAND", "", "Manage volumes", "", "Commands:", *rows]))
        return 0
    verb = _ALIASES.get(verb, verb)
    if verb not in _VERBS:
        error = BadUsage(f"unknown command: utsuwa volume {verb}")
        error.exit_code = 1
        raise error
    code: int = __import__(f"utsuwa.cli.volume_{verb}", fromlist=("run",)).run(rest)
    return code

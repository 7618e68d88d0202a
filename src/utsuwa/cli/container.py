"""`utsuwa container`: the verbs for containers under their noun (docker container)."""

from __future__ import annotations

from utsuwa.cli.group import Group
from utsuwa.cli.main import VERBS

_SAME = (
    *("attach", "commit", "cp", "create", "diff", "exec", "export", "kill", "logs", "pause", "port", "rename"),
    *("restart", "rm", "run", "start", "stats", "stop", "top", "unpause", "update", "wait"),
)
VERB = Group(
    "container",
    "Manage containers",
    {
        **{verb: verb for verb in _SAME if verb in VERBS},
        **dict.fromkeys(("ls", "list", "ps"), "ps"),
        "inspect": ("inspect", "--type=container"),
        "prune": "container_prune",
    },
    {"inspect": "Display detailed information on one or more containers"},
)
run = VERB.run

"""`utsuwa volume`: the verbs for volumes (docker volume)."""

from __future__ import annotations

from utsuwa.cli.group import Group

VERB = Group(
    "volume",
    "Manage volumes",
    {
        "create": "volume_create",
        "inspect": "volume_inspect",
        **dict.fromkeys(("ls", "list"), "volume_ls"),
        "prune": "volume_prune",
        **dict.fromkeys(("rm", "remove"), "volume_rm"),
    },
)
run = VERB.run

"""`utsuwa network`: make, look at, connect and remove networks (docker network)."""

from __future__ import annotations

from utsuwa.cli.group import Group

VERB = Group(
    "network",
    "Manage networks",
    {
        "connect": "network_connect",
        "create": "network_create",
        "disconnect": "network_disconnect",
        "inspect": "network_inspect",
        **dict.fromkeys(("ls", "list"), "network_ls"),
        "prune": "network_prune",
        **dict.fromkeys(("rm", "remove"), "network_rm"),
    },
)
run = VERB.run

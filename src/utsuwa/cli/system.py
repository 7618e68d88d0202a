"""`utsuwa system`: the verbs for the whole engine (docker system)."""

from __future__ import annotations

from utsuwa.cli.group import Group
from utsuwa.cli.main import VERBS

VERB = Group(
    "system",
    "Manage the engine",
    {
        "df": "system_df",
        **{verb: verb for verb in ("events", "info") if verb in VERBS},
        "prune": "system_prune",
    },
)
run = VERB.run

"""`utsuwa image`: the verbs for images under their noun (docker image)."""

from __future__ import annotations

from utsuwa.cli.group import Group
from utsuwa.cli.main import VERBS

_SAME = ("build", "history", "import", "load", "pull", "push", "save", "tag")
VERB = Group(
    "image",
    "Manage images",
    {
        **{verb: verb for verb in _SAME if verb in VERBS},
        **dict.fromkeys(("ls", "list"), "images"),
        **dict.fromkeys(("rm", "remove"), "rmi"),
        "inspect": ("inspect", "--type=image"),
        "prune": "image_prune",
    },
    {"inspect": "Display detailed information on one or more images"},
)
run = VERB.run

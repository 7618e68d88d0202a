"""`utsuwa manifest`: lists of images for several platforms in a registry (docker manifest)."""

from __future__ import annotations

from utsuwa.cli.group import Group

VERB = Group(
    "manifest",
    "Manage Docker image manifests and manifest lists",
    {
        "annotate": "manifest_annotate",
        "create": "manifest_create",
        "inspect": "manifest_inspect",
        "push": "manifest_push",
        "rm": "manifest_rm",
    },
)
run = VERB.run

"""`utsuwa version`."""

from __future__ import annotations

import os
import sys

from utsuwa import __version__
from utsuwa.cli.house import Verb

VERB = Verb("version", "Show the version information", most=0)


def run(words: list[str]) -> int:
    """Print it."""
    if VERB.read(words) is None:
        return 0
    from utsuwa.spec.default import OCI_VERSION

    system = os.uname()
    rows = (
        ("Version", __version__),
        ("OCI runtime spec", OCI_VERSION),
        ("Python", sys.version.split()[0]),
        ("Kernel", f"{system.sysname} {system.release}"),
        ("OS/Arch", f"linux/{system.machine}"),
    )
    print("utsuwa")
    for name, value in rows:
        print(f" {name + ':':19}{value}")
    return 0

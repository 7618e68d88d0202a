"""`utsuwa version`."""

from __future__ import annotations

import os

from utsuwa import __version__
from utsuwa.cli.flags import WORD, Option
from utsuwa.cli.house import Verb
from utsuwa.cli.interpreter import interpreter

VERB = Verb(
    "version [OPTIONS]",
    "Show the version information",
    (Option("format", "f", WORD, "Format output: 'json' or a Go template"),),
    most=0,
)


def run(words: list[str]) -> int:
    """Print it."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.spec import platform
    from utsuwa.spec.default import OCI_VERSION

    system = os.uname()
    rows = (
        ("Version", __version__),
        ("OCI runtime spec", OCI_VERSION),
        ("Python", interpreter()),
        ("Kernel", f"{system.sysname} {system.release}"),
        ("OS/Arch", f"linux/{system.machine}"),
    )
    if arguments.text("format"):
        from utsuwa.cli.listing import formatted

        # There is no server of its own: what Docker asks one for, this program answers.
        facts = {
            "Version": __version__,
            "Os": "linux",
            "Arch": platform.host().architecture,
            "KernelVersion": system.release,
            "SpecVersion": OCI_VERSION,
        }
        print(formatted(arguments.text("format"), {}, [{"Client": facts, "Server": facts}]))
        return 0
    print("utsuwa")
    for name, value in rows:
        print(f" {name + ':':19}{value}")
    return 0

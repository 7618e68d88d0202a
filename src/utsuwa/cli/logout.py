"""`utsuwa logout`: forget the login at a registry (docker logout)."""

from __future__ import annotations

from utsuwa.cli.house import Verb
from utsuwa.cli.login import server

VERB = Verb(
    "logout [SERVER]",
    "Log out from a registry.\nIf no server is specified, the default is Docker Hub.",
    most=1,
)


def run(words: list[str]) -> int:
    """Say what was forgotten."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.registry import keyring

    domain = server(arguments.words)
    known = keyring.erase(domain)
    said = "Removing login credentials for" if known else "Not logged in to"
    print(f"{said} {keyring.server_key(domain)}")
    return 0

"""`utsuwa login`: a user name and password for a registry, tried and kept (docker login)."""

from __future__ import annotations

import os
import sys

from utsuwa.cli.flags import SWITCH, WORD, Option
from utsuwa.cli.house import Verb
from utsuwa.errors import Error, InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.cli.flags import Arguments
    from utsuwa.registry.credentials import Credentials

VERB = Verb(
    "login [OPTIONS] [SERVER]",
    "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
    (
        Option("password", "p", WORD, "Password or Personal Access Token (PAT)"),
        Option("password-stdin", "", SWITCH, "Take the Password or Personal Access Token (PAT) from stdin"),
        Option("username", "u", WORD, "Username"),
    ),
    most=1,
)
_UNENCRYPTED = """
WARNING! Your credentials are stored unencrypted in '{}'.
Configure a credential helper to remove this warning (credsStore and credHelpers in that file).
"""


def run(words: list[str]) -> int:
    """Say whether it succeeded."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    import asyncio

    from utsuwa.registry import keyring
    from utsuwa.registry.once import log_in

    domain = server(arguments.words)
    credentials = _known(domain, arguments) or _asked(arguments)
    asyncio.run(log_in(domain, credentials))
    path = keyring.save(domain, credentials)
    if path:
        print(_UNENCRYPTED.format(path), file=sys.stderr)
    print("Login Succeeded")
    return 0


def server(words: list[str]) -> str:
    """The registry that is meant: a host, however it is written."""
    from utsuwa.registry.endpoint import base_url
    from utsuwa.spec.reference import DEFAULT_DOMAIN

    host = words[0].removeprefix("https://").removeprefix("http://").partition("/")[0] if words else ""
    if host in ("", "index.docker.io", "registry-1.docker.io"):
        return DEFAULT_DOMAIN
    base_url(host)
    return host


def _known(domain: str, arguments: Arguments) -> Credentials | None:
    """Those that are kept already, when nothing else is said."""
    if arguments.given:
        return None
    import asyncio

    from utsuwa.registry.credentials import find

    try:
        found = asyncio.run(find(domain))
    except Error:
        return None
    if found:
        print("Authenticating with existing credentials...", flush=True)
    return found


def _asked(arguments: Arguments) -> Credentials:
    from utsuwa.registry.credentials import Credentials

    username, password = arguments.text("username"), arguments.text("password")
    if arguments.on("password-stdin"):
        if password:
            raise InvalidArgument("--password and --password-stdin are mutually exclusive")
        if not username:
            raise InvalidArgument("Must provide --username with --password-stdin")
        password = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    elif password:
        print("WARNING! Using --password via the CLI is insecure. Use --password-stdin.", file=sys.stderr)
    if (not username or not password) and not arguments.on("password-stdin"):
        if not os.isatty(0):
            raise InvalidArgument("Cannot perform an interactive login from a non TTY device")
        from getpass import getpass

        username = username or input("Username: ").strip()
        password = password or getpass("Password: ")
    if not username:
        raise InvalidArgument("username is empty")
    if not password:
        raise InvalidArgument("password is empty")
    return Credentials(username=username, password=password)

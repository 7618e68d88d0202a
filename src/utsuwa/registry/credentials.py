"""User names and passwords from where ``docker login`` and ``podman login`` keep them."""

from __future__ import annotations

import asyncio
import base64
import binascii
import os

from utsuwa.errors import Error, InvalidArgument, Unavailable
from utsuwa.spec import codec
from utsuwa.spec.record import Record
from utsuwa.spec.reference import DEFAULT_DOMAIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HUB_KEY = "https://index.docker.io/v1/"
_FILE_LIMIT = 1 << 20
_HELPER_TIMEOUT = 30.0
# What a helper gives as user name when the secret is an identity token (docker-credential-helpers).
TOKEN_USER = "<token>"


class Credentials(Record):
    """Who to be at a registry: a user and password, or an identity token."""

    username: str = ""
    password: str = ""
    identity_token: str = ""

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r})"  # the rest must not get into logs

    @property
    def basic(self) -> str:
        """The value of a Basic Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def config_path() -> str:
    """``$DOCKER_CONFIG/config.json`` or the one at home."""
    folder = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    return f"{folder}/config.json"


async def find(domain: str, path: str | None = None) -> Credentials | None:
    """The credentials for a registry, None when nobody logged in.

    Raises InvalidArgument for a broken file, Unavailable when a credential helper fails.
    """
    path = path or config_path()
    try:
        with open(path, "rb") as file:
            config = codec.parse(file.read(_FILE_LIMIT))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except InvalidArgument as error:
        raise error.within(path) from None
    if not isinstance(config, dict):
        raise InvalidArgument(f"{path}: expected an object")
    keys = [HUB_KEY, "index.docker.io", "registry-1.docker.io", domain] if domain == DEFAULT_DOMAIN else [domain]
    helpers = config.get("credHelpers")
    helper = (helpers.get(domain) if isinstance(helpers, dict) else None) or config.get("credsStore")
    if isinstance(helper, str) and helper:
        found = await _ask_helper(helper, keys[0])
        if found:
            return found
    return _from_auths(config.get("auths"), keys, path)


def _from_auths(auths: Any, keys: list[str], path: str) -> Credentials | None:
    if not isinstance(auths, dict):
        return None
    spelled = {_host_of(key): key for key in auths}
    for key in keys:
        entry = auths.get(key) or auths.get(spelled.get(_host_of(key), ""))
        if isinstance(entry, dict) and entry:
            return _from_entry(entry, f"{path}: auths.{key}")
    return None


def _host_of(key: str) -> str:
    return key.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _from_entry(entry: dict[str, Any], where: str) -> Credentials | None:
    token = entry.get("identitytoken")
    auth = entry.get("auth")
    if isinstance(auth, str) and auth:
        try:
            user, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            colon, user, password = "", "", ""
        if not colon:
            raise InvalidArgument(f"{where}.auth: not user:password in base64, log in again")
    else:
        user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if isinstance(token, str) and token:
        return Credentials(username=user, identity_token=token)
    return Credentials(username=user, password=password.rstrip("\0")) if user else None


async def _ask_helper(helper: str, server: str) -> Credentials | None:
    """Ask ``docker-credential-NAME get``; None when it has nothing for the server."""
    if "/" in helper or not helper.isprintable():
        raise InvalidArgument(f'credential helper "{helper}" is not the name of a program')
    program = f"docker-credential-{helper}"
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "get",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        raise Unavailable(f"{program}: can't be run, install it or log in again without it") from None
    try:
        output, _ = await asyncio.wait_for(process.communicate(server.encode()), _HELPER_TIMEOUT)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise Unavailable(f"{program}: no answer within {_HELPER_TIMEOUT:.0f} s") from None
    if process.returncode:
        return None
    try:
        answer = codec.parse(output[:_FILE_LIMIT])
        user, secret = answer["Username"], answer["Secret"]
    except (Error, KeyError, TypeError):
        raise Unavailable(f"{program}: an answer that is not understood") from None
    return Credentials(identity_token=secret) if user == TOKEN_USER else Credentials(username=user, password=secret)

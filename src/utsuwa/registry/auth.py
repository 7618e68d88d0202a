"""Authentication by a registry's own rules: what its 401 asks for, and tokens per scope (distribution:
spec/auth/token.md).
"""

from __future__ import annotations

import time

from yarl import URL

from utsuwa.errors import Error, PermissionDenied, Unavailable
from utsuwa.registry.endpoint import allowed_from
from utsuwa.spec import codec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from utsuwa.registry.credentials import Credentials

    # (method, url, headers, form) -> (status, body): one bounded request without redirects
    Ask = Callable[[str, URL, dict[str, str], dict[str, str] | None], Awaitable[tuple[int, bytes]]]

_SHORTEST = 60
"""Seconds a token is valid at least, whatever is said (token.md)."""
_TOKEN_CHARACTERS = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def parse_challenges(headers: list[str]) -> list[tuple[str, dict[str, str]]]:
    """The challenges of WWW-Authenticate headers (RFC 9110, 11.6.1): (scheme in lower case, parameters); nonsense is
    left out.
    """
    challenges: list[tuple[str, dict[str, str]]] = []
    for header in headers:
        at = 0
        while at < len(header):
            word, at = _word(header, at)
            if not word:
                at += 1
                continue
            if header[at : at + 1] == "=" and challenges:
                value, at = _value(header, at + 1)
                challenges[-1][1][word.lower()] = value
            else:
                challenges.append((word.lower(), {}))
    return challenges


def _word(text: str, at: int) -> tuple[str, int]:
    start = at
    while at < len(text) and text[at] in _TOKEN_CHARACTERS:
        at += 1
    return text[start:at], at


def _value(text: str, at: int) -> tuple[str, int]:
    if text[at : at + 1] != '"':
        return _word(text, at)
    value, at = "", at + 1
    while at < len(text) and text[at] != '"':
        if text[at] == "\\":
            at += 1
        value += text[at : at + 1]
        at += 1
    return value, at + 1


class Authenticator:
    """What to send one registry as Authorization; tokens are kept per scope until they expire."""

    def __init__(self, registry: URL, credentials: Credentials | None, ask: Ask) -> None:
        self._registry = registry
        self._credentials = credentials
        self._ask = ask
        self._basic = False
        self._tokens: dict[str, tuple[str, float]] = {}

    def header(self, scope: str) -> str | None:
        """The header for ``scope`` as far as it is known without asking."""
        if self._basic and self._credentials:
            return self._credentials.basic
        token, until = self._tokens.get(scope, ("", 0.0))
        return f"Bearer {token}" if token and time.monotonic() < until else None

    async def answer(self, scope: str, headers: list[str]) -> None:
        """Meet the challenge of a 401, so that :meth:`header` has what the next try needs.

        Raises PermissionDenied when we have nothing (or nothing better) to offer, Unavailable for a challenge that is
        not understood.
        """
        self._tokens.pop(scope, None)
        challenges = parse_challenges(headers)
        for scheme, parameters in challenges:
            if scheme == "bearer":
                self._tokens[scope] = await self._fetch(scope, parameters)
                return
        if any(scheme == "basic" for scheme, _ in challenges):
            if self._basic or not self._credentials or not self._credentials.username:
                raise PermissionDenied(
                    f"{self._registry.authority}: user name and password refused or missing, log in first"
                )
            self._basic = True
            return
        raise Unavailable(f"{self._registry.authority}: asks for an authentication that is not understood")

    async def _fetch(self, scope: str, parameters: dict[str, str]) -> tuple[str, float]:
        realm = self._realm(parameters.get("realm", ""))
        wanted = {"service": parameters["service"]} if parameters.get("service") else {}
        if parameters.get("scope") or scope:
            wanted["scope"] = parameters.get("scope") or scope
        credentials = self._credentials
        if credentials and credentials.identity_token:
            form = {
                **wanted,
                "client_id": "utsuwa",
                "grant_type": "refresh_token",
                "refresh_token": credentials.identity_token,
            }
            status, body = await self._ask("POST", realm, {}, form)
        else:
            headers = {"Authorization": credentials.basic} if credentials and credentials.username else {}
            status, body = await self._ask("GET", realm.update_query(wanted), headers, None)
        if status in (401, 403):
            raise PermissionDenied(
                f"{realm.authority}: no token for {wanted.get('scope') or 'this user'}, log in or check the name"
            )
        if status != 200:
            raise Unavailable(f"{realm.authority}: token server answered {status}")
        return self._token_of(body, realm)

    def _realm(self, text: str) -> URL:
        try:
            realm = URL(text)
            if realm.is_absolute() and not realm.user and allowed_from(self._registry, realm):
                return realm
        except ValueError:
            pass
        raise Unavailable(f'{self._registry.authority}: sends for a token to "{text[:200]}", which is not asked')

    @staticmethod
    def _token_of(body: bytes, realm: URL) -> tuple[str, float]:
        try:
            answer = codec.parse(body)
            token = answer.get("token") or answer.get("access_token")
            seconds = answer.get("expires_in") or _SHORTEST
            # Beyond a day no token is worth keeping; a header can't hold control characters.
            if not (isinstance(token, str) and token and token.isprintable() and token.isascii()):
                raise ValueError
            until = time.monotonic() + min(max(int(seconds), _SHORTEST), 86400) - 5
        except (Error, AttributeError, TypeError, ValueError, OverflowError):
            raise Unavailable(f"{realm.authority}: token server's answer is not understood") from None
        return token, until

"""Where logins are kept: ``config.json`` of Docker's, or the credential helper that it names."""

from __future__ import annotations

import base64
import fcntl
import os
import subprocess

from utsuwa.errors import InvalidArgument, Unavailable, from_oserror
from utsuwa.registry.credentials import HUB_KEY, TOKEN_USER, Credentials, config_path
from utsuwa.spec import codec
from utsuwa.spec.reference import DEFAULT_DOMAIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

_TIMEOUT = 30.0


def server_key(domain: str) -> str:
    """What a registry is called in the file: Docker Hub by its oldest address."""
    return HUB_KEY if domain == DEFAULT_DOMAIN else domain


def save(domain: str, credentials: Credentials) -> str:
    """Keep a login. Returns the file it lies in unencrypted, "" when a helper has it. Raises Unavailable when that
    fails, InvalidArgument for a broken file.
    """
    key = server_key(domain)
    user = TOKEN_USER if credentials.identity_token else credentials.username
    secret = credentials.identity_token or credentials.password
    with _Config() as config:
        helper = _helper(config.document, key, domain)
        entry: dict[str, str] = {}
        if helper:
            _run(helper, "store", codec.dumps({"ServerURL": key, "Username": user, "Secret": secret}))
        else:
            pair = f"{credentials.username}:{credentials.password}"
            entry["auth"] = base64.b64encode(pair.encode()).decode()
            if credentials.identity_token:
                entry["identitytoken"] = credentials.identity_token
        config.document.setdefault("auths", {})[key] = entry
        config.write()
        return "" if helper else config.path


def erase(domain: str) -> bool:
    """Forget a login; False when there was none."""
    key = server_key(domain)
    with _Config() as config:
        helper = _helper(config.document, key, domain)
        known = config.document.get("auths", {}).pop(key, None) is not None
        if known:
            config.write()
        if helper:
            try:
                _run(helper, "erase", key)
            except Unavailable:
                return known
    return known


def _helper(document: dict[str, Any], key: str, domain: str) -> str:
    helpers = document.get("credHelpers")
    table = helpers if isinstance(helpers, dict) else {}
    found = table.get(key) or table.get(domain) or document.get("credsStore") or ""
    if not isinstance(found, str) or "/" in found or not found.isprintable():
        raise InvalidArgument(f"{config_path()}: credential helper {found!r} is not the name of a program")
    return found


def _run(helper: str, verb: str, text: str) -> None:
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run([program, verb], input=text.encode(), capture_output=True, timeout=_TIMEOUT, check=False)
    except FileNotFoundError:
        raise Unavailable(f"{program}: can't be run, install it or leave it out of {config_path()}") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{program}: no answer within {_TIMEOUT:.0f} s") from None
    if done.returncode:
        said = (done.stdout or done.stderr).decode("utf-8", "replace").strip()[:200]
        raise Unavailable(f"{program} {verb}: {said or f'ended with {done.returncode}'}")


class _Config:
    """The file, under a lock of its directory while it is changed."""

    def __init__(self) -> None:
        self.path = os.path.realpath(config_path())
        self.document: dict[str, Any] = {}
        self._lock = -1

    def __enter__(self) -> _Config:
        folder = os.path.dirname(self.path)
        try:
            os.makedirs(folder, 0o700, exist_ok=True)
            self._lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            with open(self.path, "rb") as file:
                document = codec.parse(file.read())
        except FileNotFoundError:
            return self
        except OSError as error:
            raise from_oserror(error, self.path) from None
        except InvalidArgument as error:
            raise error.within(self.path) from None
        if not isinstance(document, dict) or not isinstance(document.get("auths", {}), dict):
            raise InvalidArgument(f"{self.path}: expected an object, with auths as another")
        self.document = document
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._lock >= 0:
            os.close(self._lock)

    def write(self) -> None:
        """Put it in place as a whole, readable by its owner alone."""
        fresh = f"{self.path}.{os.getpid()}"
        try:
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, codec.dumps(self.document, "\t").encode())
            finally:
                os.close(fd)
            os.rename(fresh, self.path)
        except OSError as error:
            raise from_oserror(error, f"write {self.path}") from None

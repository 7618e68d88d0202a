"""``registries.toml``: mirrors of registries, and registries that are to be trusted less than usual (docs/images.md).

[registry."docker.io"]
mirrors = ["https://mirror.example", "http://10.0.0.5:5000"]

[registry."10.0.0.5:5000"]
insecure = true

[registry."registry.example"]
ca = "/etc/ssl/example.pem"
"""

from __future__ import annotations

import os

from yarl import URL

from utsuwa.errors import InvalidArgument
from utsuwa.registry.endpoint import Place, base_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SYSTEM = "/etc/utsuwa/registries.toml"
_KEYS = {"mirrors": list, "insecure": bool, "ca": str}


def config_files() -> list[str]:
    """The files that are read, the later before the earlier: the system's, then the user's; or the one that
    UTSUWA_REGISTRIES names.
    """
    named = os.environ.get("UTSUWA_REGISTRIES")
    if named:
        return [named]
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return [_SYSTEM, f"{home}/utsuwa/registries.toml"]


class Registries:
    """What the files say. Raises InvalidArgument for what can't be read or has words that mean nothing."""

    def __init__(self, files: list[str] | None = None) -> None:
        self._tables: dict[str, dict[str, Any]] = {}
        for path in config_files() if files is None else files:
            self._tables.update(_read(path))

    def origin(self, domain: str) -> Place:
        """The registry itself."""
        table = self._tables.get(domain, {})
        return Place(base_url(domain), insecure=bool(table.get("insecure")), ca=table.get("ca", ""))

    def sources(self, domain: str) -> list[Place]:
        """Where to pull from: the mirrors in their order, then the registry itself."""
        found = []
        for text in self._tables.get(domain, {}).get("mirrors", ()):
            url = URL(text)
            table = self._tables.get(url.authority, {})
            insecure = bool(table.get("insecure")) and url.scheme == "https"
            found.append(Place(url, mirror=True, insecure=insecure, ca=table.get("ca", "")))
        return [*found, self.origin(domain)]


def _read(path: str) -> dict[str, dict[str, Any]]:
    try:
        with open(path, "rb") as file:
            text = file.read()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    import tomllib

    try:
        tables = tomllib.loads(text.decode()).get("registry", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{path}: {error}") from None
    if not isinstance(tables, dict):
        raise InvalidArgument(f'{path}: expected tables [registry."HOST"]')
    for domain, table in tables.items():
        _check(f'{path}: registry."{domain}"', table)
    return tables


def _check(where: str, table: Any) -> None:
    if not isinstance(table, dict):
        raise InvalidArgument(f"{where}: expected a table")
    for key, value in table.items():
        if key not in _KEYS or not isinstance(value, _KEYS[key]):
            raise InvalidArgument(
                f"{where}.{key}: expected one of mirrors (a list), insecure (true or false), ca (a path)"
            )
    for text in table.get("mirrors", ()):
        try:
            good = isinstance(text, str) and URL(text).scheme in ("http", "https") and bool(URL(text).host)
        except ValueError:
            good = False
        if not good:
            raise InvalidArgument(f"{where}.mirrors: {text!r} is not an http or https URL")

"""ADD of a URL: the file fetched into the build's own directory."""

from __future__ import annotations

import os

from utsuwa.errors import Unavailable
from utsuwa.snapshot.extents import need_room
from utsuwa.spec import digest as digests

_CHUNK = 1 << 20
_PATIENCE = 60
"""Seconds that a server may be silent."""


def is_url(source: str) -> bool:
    """Whether a source of ADD is fetched over HTTP."""
    return source.startswith(("http://", "https://"))


def fetch(url: str, directory: str, checksum: str) -> tuple[str, int]:
    """Bring a URL's file into a directory: its name, and Unix seconds of its last change or 0. Raises Unavailable."""
    from email.utils import parsedate_to_datetime
    from http.client import HTTPException
    from urllib import request
    from urllib.parse import unquote, urlsplit

    name = unquote(urlsplit(url).path).rpartition("/")[2]
    if not name or name in (".", "..") or "\0" in name:
        name = "download"
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(),
        request.UnknownHandler(),
        request.HTTPHandler(),
        request.HTTPSHandler(),
        request.HTTPDefaultErrorHandler(),
        request.HTTPRedirectHandler(),
        request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    try:
        with opener.open(url, timeout=_PATIENCE) as answer:
            _store(answer, f"{directory}/{name}", checksum, url)
            changed = answer.headers.get("Last-Modified")
    except (OSError, HTTPException, ValueError) as error:
        raise Unavailable(f"fetch {url}: {error}") from error
    try:
        return name, int(parsedate_to_datetime(changed).timestamp()) if changed else 0
    except ValueError:
        return name, 0


def _store(answer: object, path: str, checksum: str, url: str) -> None:
    wanted = digests.parse(checksum) if checksum else None
    running = digests.hasher(wanted.algorithm if wanted else "sha256")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        while chunk := answer.read(_CHUNK):  # type: ignore[attr-defined]
            need_room(fd, len(chunk))
            running.update(chunk)
            file.write(chunk)
        if answer.length:  # type: ignore[attr-defined]  # of what was promised; Python's client takes an end for the end
            raise Unavailable(f"fetch {url}: the transfer ended {answer.length} bytes too early")  # type: ignore[attr-defined]
    found = running.hexdigest()
    if wanted is not None and found != wanted.hex:
        raise Unavailable(f"fetch {url}: digest mismatch {wanted.algorithm}:{found}: {wanted}")

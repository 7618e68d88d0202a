"""Where a registry is: the base URL of a domain, and which URLs it may send us on to."""

from __future__ import annotations

import ipaddress
import ssl

from yarl import URL

from utsuwa.errors import InvalidArgument, Unavailable
from utsuwa.spec.reference import DEFAULT_DOMAIN

_DOCKER_HUB = "registry-1.docker.io"
_URL_LIMIT = 8192


class Place:
    """Where to ask, and how much to trust it: ``url``; ``mirror``: it has copies of somebody else's; ``insecure``: its
    certificate is not checked, and without HTTPS plain HTTP will do; ``ca``: a file of certificates to trust besides.
    """

    def __init__(self, url: URL, mirror: bool = False, insecure: bool = False, ca: str = "") -> None:
        self.url, self.mirror, self.insecure, self.ca = url, mirror, insecure, ca

    def tls(self) -> ssl.SSLContext | bool:
        """What aiohttp takes: True for the system's certificates, False for no check. Raises InvalidArgument."""
        if self.insecure:
            return False
        if not self.ca:
            return True
        try:
            context = ssl.create_default_context()
            context.load_verify_locations(self.ca)
        except OSError as error:
            raise InvalidArgument(f"{self.ca}: no certificates can be read from it ({error.strerror})") from None
        return context


def base_url(domain: str) -> URL:
    """``https://domain``, but plain ``http`` for this machine's own addresses, as Docker has it for 127.0.0.0/8."""
    host = _DOCKER_HUB if domain == DEFAULT_DOMAIN else domain
    try:
        url = URL(f"https://{host}")
        loopback = is_loopback(url)
    except ValueError:
        raise InvalidArgument(f'"{domain}" is not a registry host') from None
    return url.with_scheme("http").with_port(url.explicit_port) if loopback else url


def is_loopback(url: URL) -> bool:
    """Whether the host is this machine, by its name or address alone: nothing is looked up."""
    host = url.host or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def same_origin(one: URL, other: URL) -> bool:
    """Whether what is for ``one`` alone may be shown to ``other``: scheme, host and port are the same."""
    return one.origin() == other.origin()


def redirected(source: URL, location: str) -> URL:
    """Where a redirect leads. Raises Unavailable for one that drops encryption or leads to this machine."""
    if not location or len(location) > _URL_LIMIT:
        raise Unavailable(f"{source.origin()}: a redirect without a usable location")
    try:
        target = source.join(URL(location, encoded=True))
        allowed = allowed_from(source, target)
    except ValueError:
        raise Unavailable(f"{source.origin()}: a redirect to what is no URL") from None
    if not allowed:
        raise Unavailable(f"{source.origin()}: a redirect to {target.scheme}://{target.host}, which is not followed")
    return target


def allowed_from(source: URL, target: URL) -> bool:
    """Whether a registry at ``source`` may name ``target``: http(s), never less safe, never our loopback unless it is
    there itself.
    """
    if target.scheme not in ("http", "https") or not target.host:
        return False
    if is_loopback(source):
        return target.scheme == "https" or is_loopback(target)
    # From a registry that was allowed to do without encryption, nothing is lost.
    return (target.scheme == "https" or source.scheme == "http") and not is_loopback(target)

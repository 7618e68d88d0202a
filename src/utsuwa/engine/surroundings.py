"""/etc/hosts and /etc/resolv.conf of a container that is in no network of its own, or not yet."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument
from utsuwa.network.files import HOSTS, Resolution, resolv_conf
from utsuwa.network.records import Plugs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.spec.request import RunRequest

_OF_ITSELF = "127.0.0.1"
"""Where who shares the host's network finds the host."""


def hosts(request: RunRequest, of_host: bytes) -> bytes:
    """The file for ``host`` (with all that the host's own says) and ``none``. Raises InvalidArgument for a host-gateway
    that can't be reached.
    """
    shares = request.network == "host"
    lines = []
    for line in request.networking.hosts:
        name, _, address = line.partition(":")
        if address == "host-gateway" and request.network == "none":
            raise InvalidArgument(f"conflicting options: {name}:host-gateway, and the none network mode")
        address = _OF_ITSELF if address == "host-gateway" else address.strip("[]")
        lines.append(f"{address}\t{name}\n")
    start = of_host if shares else HOSTS.encode()
    return start + (b"" if start.endswith(b"\n") or not start else b"\n") + "".join(lines).encode()


def resolution(request: RunRequest, of_host: bytes) -> bytes:
    """The file: the host's, with what was asked for instead."""
    asked = request.networking
    if not (asked.dns or asked.dns_search or asked.dns_options):
        return of_host
    host = Resolution(of_host.decode("utf-8", "surrogateescape"))
    plugs = Plugs(dns_search=asked.dns_search, dns_options=asked.dns_options)
    return resolv_conf(plugs, host, list(asked.dns) or host.servers, embedded=False).encode("utf-8", "surrogateescape")

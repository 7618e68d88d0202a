"""What containers read in /etc/hosts and /etc/resolv.conf."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.network.records import Endpoint, Plugs

HOSTS = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)
"""What Docker puts into /etc/hosts before the container's own line."""

_RESOLV_CONF = "/etc/resolv.conf"
_BEHIND_THE_STUB = "/run/systemd/resolve/resolv.conf"
"""Where systemd-resolved writes down the servers that it asks itself."""


class Resolution:
    """What a resolv.conf says."""

    __slots__ = ("options", "search", "servers")

    def __init__(self, text: str) -> None:
        self.servers: list[str] = []
        self.search: list[str] = []
        self.options: list[str] = []
        for line in text.splitlines():
            word, *values = line.split() or [""]
            if word == "nameserver" and values:
                self.servers.append(values[0].partition("%")[0])
            elif word in ("search", "domain"):
                self.search = values
            elif word == "options":
                self.options += values


def host_resolution() -> Resolution:
    """What the host asks; servers behind its own loopback are replaced by those that they ask, where that is known."""
    found = Resolution(_read(_RESOLV_CONF))
    if found.servers and all(map(is_loopback, found.servers)):
        behind = Resolution(_read(_BEHIND_THE_STUB))
        found.servers = behind.servers or found.servers
    return found


def is_loopback(address: str) -> bool:
    """Such a server can be reached by the host only."""
    return address.startswith("127.") or address == "::1"


def resolv_conf(plugs: Plugs, host: Resolution, servers: list[str], embedded: bool) -> str:
    """The file: ``servers`` to ask, ``embedded`` for our own."""
    search = list(plugs.dns_search or host.search)
    options = list(plugs.dns_options or host.options)
    if embedded and not any(option.startswith("ndots:") for option in options):
        options.append("ndots:0")
    lines = [f"nameserver {server}" for server in servers]
    if search and search != ["."]:
        lines.append(f"search {' '.join(search)}")
    if options:
        lines.append(f"options {' '.join(options)}")
    return "\n".join(lines) + "\n"


def hosts(plugs: Plugs, endpoints: list[Endpoint], gateway: str) -> str:
    """The file: ``gateway`` is what ``host-gateway`` stands for."""
    lines = [HOSTS]
    for line in plugs.hosts:
        name, _, address = line.partition(":")
        address = gateway if address == "host-gateway" else address.strip("[]")
        if address:
            lines.append(f"{address}\t{name}\n")
    own = f"{plugs.hostname}.{plugs.domainname} {plugs.hostname}" if plugs.domainname else plugs.hostname
    for endpoint in endpoints:
        lines += [f"{address.partition('/')[0]}\t{own}\n" for address in endpoint.addresses]
    return "".join(lines)


def rewrite(path: str, text: str) -> None:
    """Change a file in its place: it is bound into the container, which would not see another one."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, 0o644)
    try:
        os.write(fd, text.encode("utf-8", "surrogateescape"))
    finally:
        os.close(fd)


def _read(path: str) -> str:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(1 << 16).decode("utf-8", "surrogateescape")
    except OSError:
        return ""


def host_servers() -> list[str]:
    """The servers that the host itself asks, those on its loopback included."""
    return Resolution(_read(_RESOLV_CONF)).servers

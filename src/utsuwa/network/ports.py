"""Ports of the host: which are taken, and by whom. A symbolic link for each leads to the container."""

from __future__ import annotations

import os
from _socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_IPV6,
    IPV6_V6ONLY,
    SO_REUSEADDR,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
)
from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL

from utsuwa.errors import Conflict, FailedPrecondition, PermissionDenied, Unsupported
from utsuwa.network import ground
from utsuwa.network.embedded import PORT as EMBEDDED
from utsuwa.network.state import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.network.records import Endpoint
    from utsuwa.network.state import Places
    from utsuwa.spec.request import PublishedPort

_RANGE_FILE = "/proc/sys/net/ipv4/ip_local_port_range"


def take(places: Places, endpoint: Endpoint, wanted: tuple[PublishedPort, ...]) -> Endpoint:
    """Take ports, and choose those that are left to us; the endpoint with them. Raises Conflict for a taken one."""
    lock = places.lock("ports")
    try:
        directory = f"{places.run}/ports"
        taken = os.listdir(directory)
        chosen: list[PublishedPort] = []
        for port in wanted:
            if port.protocol == "sctp" and ground.is_own():
                raise Unsupported(
                    f"unsupported: port {port.port}/sctp (an ordinary user publishes those of tcp and udp)"
                )
            port = port.replace(host_port=port.host_port or _free(port, taken))
            _check(port, taken)
            taken.append(_name(port))
            chosen.append(port)
        endpoint = endpoint.replace(ports=tuple(chosen))
        write(places.endpoint(endpoint.network, endpoint.container), endpoint)
        for port in chosen:
            os.symlink(endpoint.container, f"{directory}/{_name(port)}")
    finally:
        os.close(lock)
    return endpoint


def give_back(places: Places, endpoint: Endpoint) -> None:
    """Free the ports of a place. Can be repeated."""
    for port in endpoint.ports:
        link = f"{places.run}/ports/{_name(port)}"
        try:
            if os.readlink(link) == endpoint.container:
                os.unlink(link)
        except FileNotFoundError:
            continue


def _name(port: PublishedPort) -> str:
    return f"{port.protocol},{port.host_port},{port.host_ip}"


def _check(port: PublishedPort, taken: list[str]) -> None:
    """Raise Conflict when another container has it, or somebody listens, PermissionDenied where we may not listen."""
    shown = f"{port.host_ip or '0.0.0.0'}:{port.host_port}"
    if not _is_free(port, taken):
        raise Conflict(f"Bind for {shown} failed: port is already allocated")
    number = EADDRINUSE if port.host_port == EMBEDDED else _try(port)  # our rules would go before our own resolver
    if number == EADDRINUSE:
        raise Conflict(f"failed to bind host port {shown}/{port.protocol}: address already in use")
    if number == EACCES:
        raise PermissionDenied(
            f"failed to bind host port {shown}/{port.protocol}: permission denied (an ordinary user has the ports from "
            "net.ipv4.ip_unprivileged_port_start on)"
        )
    if number == EADDRNOTAVAIL:
        raise FailedPrecondition(f"failed to bind host port {shown}/{port.protocol}: cannot assign requested address")


def _is_free(port: PublishedPort, taken: list[str]) -> bool:
    for name in taken:
        protocol, number, address = name.split(",", 2)
        if (protocol, number) == (port.protocol, str(port.host_port)) and _meet(address, port.host_ip):
            return False
    return True


def _meet(one: str, other: str) -> bool:
    """Both stand for some same address."""
    if not one or not other or one == other:
        return True
    return (":" in one) == (":" in other) and bool({one, other} & {"0.0.0.0", "::"})


def _free(port: PublishedPort, taken: list[str]) -> int:
    """A port of the host's range for such purposes that nobody has."""
    with open(_RANGE_FILE, "rb", buffering=0) as file:
        low, high = map(int, file.read().split())
    for number in range(low, high + 1):
        candidate = port.replace(host_port=number)
        if _is_free(candidate, taken) and not _try(candidate):
            return number
    raise Conflict(f"no port of the host is free for port {port.port}/{port.protocol}")


def _try(port: PublishedPort) -> int:
    """Bind to it for a moment; the errno of what is in the way. Our own rules would go before a later listener's."""
    kind = {"tcp": SOCK_STREAM, "udp": SOCK_DGRAM}.get(port.protocol)
    if kind is None:
        return 0
    for family, every in ((AF_INET, "0.0.0.0"), (AF_INET6, "::")):
        address = port.host_ip or every
        if (":" in address) != (family == AF_INET6):
            continue
        try:
            probe = socket(family, kind | SOCK_CLOEXEC)
        except OSError:  # no IPv6 here
            continue
        try:
            if family == AF_INET6:
                probe.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1)
            if kind == SOCK_STREAM:
                probe.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)  # connections that are past are not in the way
            probe.bind((address, port.host_port))
            if kind == SOCK_STREAM:
                probe.listen(1)
        except OSError as error:
            if error.errno in (EADDRINUSE, EADDRNOTAVAIL, EACCES):
                return int(error.errno)
        finally:
            probe.close()
    return 0

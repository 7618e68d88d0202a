"""Flows to published ports that began before the port led where it leads now.

The kernel decides once where a connection goes. A client of UDP or SCTP that goes on asking would never come to a
container that has just begun, or for ever to one that has ended.
"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6

from utsuwa.linux.conntrack import Connections
from utsuwa.linux.rtnetlink import Route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.spec.request import PublishedPort

_PROTOCOLS = {"udp": 17, "sctp": 132}


def redirect(ports: tuple[PublishedPort, ...], addresses: list[str]) -> None:
    """Have flows to ports of this host decided anew, but for those to ``addresses``. Where the kernel does not tell of
    its connections they end by themselves, when nothing was sent for some time.
    """
    ports = tuple([port for port in ports if port.protocol in _PROTOCOLS])
    if not ports:
        return
    try:
        with Route() as route:
            here = {address for address, _ in route.addresses()}
        for family in (AF_INET, AF_INET6):
            with Connections(family) as connections:
                for port in ports:
                    _forget(connections, port, here, addresses)
    except OSError:
        return


def _forget(connections: Connections, port: PublishedPort, here: set[str], kept: list[str]) -> None:
    for flow in connections.to_port(_PROTOCOLS[port.protocol], port.host_port):
        ours = flow.to in here or flow.to.startswith("127.")
        if ours and port.host_ip in ("", "0.0.0.0", "::", flow.to) and flow.answers not in kept:
            try:
                connections.forget(flow)
            except FileNotFoundError:
                continue

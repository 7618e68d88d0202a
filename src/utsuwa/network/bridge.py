"""A network's bridge on the host: made for its first container, again after a reboot, and gone with the network."""

from __future__ import annotations

import os
from errno import ENODEV

from utsuwa.errors import Conflict, from_oserror
from utsuwa.linux import rtnetlink
from utsuwa.network import addresses, firewall, ground

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.network.records import Network
    from utsuwa.network.state import Places

_SYSCTL = "/proc/sys/net"


def ensure(places: Places, network: Network) -> int:
    """The index of the bridge, which is made if need be. Raises Conflict for an interface that is not ours."""
    return ground.on(places, _ensure, places, network)


def _ensure(places: Places, network: Network) -> int:
    with rtnetlink.Route() as host:
        link = _ours(host, network)
        if link and link.up and firewall.is_standing():
            return link.index
        lock = places.lock(network.id)
        try:
            return _make(places, host, network)
        except OSError as error:
            raise from_oserror(error, f"make the bridge {network.bridge} of network {network.name}") from error
        finally:
            os.close(lock)


def remove(places: Places, network: Network) -> None:
    """Take down what there is of a network on this host."""
    ground.on(places, _remove, network)


def _remove(network: Network) -> None:
    try:
        firewall.tear_down(network)
    finally:
        with rtnetlink.Route() as host:
            link = host.link(network.bridge)
            if link and link.alias in ("", network.id):
                try:
                    host.do(rtnetlink.delete_link(network.bridge))
                except OSError as error:
                    if error.errno != ENODEV:
                        raise from_oserror(error, f"remove the bridge {network.bridge}") from error


def _ours(host: rtnetlink.Route, network: Network) -> rtnetlink.Link | None:
    """The bridge, if it is there. It has no alias yet when its maker was killed."""
    link = host.link(network.bridge)
    if link and (link.kind != "bridge" or link.alias not in ("", network.id)):
        raise Conflict(f"network {network.name} can't have its bridge: the interface {link.name} is somebody else's")
    return link


def _make(places: Places, host: rtnetlink.Route, network: Network) -> int:
    """All of it, in an order that makes the last step, bringing it up, the sign that it is whole."""
    if _ours(host, network) is None:
        mac = b"\2" + bytes.fromhex(network.id[:10])
        host.do(rtnetlink.new_bridge(network.bridge, network.mtu, mac))
    link = host.link(network.bridge)
    assert link is not None
    _believe_no_router(network.bridge)
    version6 = any(":" in pool.subnet for pool in network.pools)
    steps = [rtnetlink.set_alias(link.index, network.id)]
    if not version6:
        steps.append(rtnetlink.no_link_local(link.index))
    for pool in network.pools:
        length = addresses.subnet(pool.subnet).length
        steps.append(rtnetlink.add_address(link.index, pool.gateway, length))
    host.do(*steps)
    if not network.internal:
        _write(f"ipv4/conf/{network.bridge}/route_localnet", "1")
        _forward(version6)
    firewall.raise_up(places, network)
    host.do(rtnetlink.set_up(link.index))
    return link.index


def _believe_no_router(bridge: str) -> None:
    """Containers are not to tell the host its addresses and its way out (CVE-2020-13401)."""
    if os.path.exists(f"{_SYSCTL}/ipv6/conf/{bridge}"):  # a host may have no IPv6
        _write(f"ipv6/conf/{bridge}/accept_ra", "0")


def _forward(version6: bool) -> None:
    """Let the host pass packets on. An interface that learns its route of IPv6 from the network would forget it then,
    unless it is told to go on (accept_ra 2).
    """
    _write("ipv4/ip_forward", "1")
    if version6 and _read("ipv6/conf/all/forwarding") != "1":
        for name in os.listdir(f"{_SYSCTL}/ipv6/conf"):
            if name not in ("all", "default", "lo") and _read(f"ipv6/conf/{name}/accept_ra") == "1":
                _write(f"ipv6/conf/{name}/accept_ra", "2")
        _write("ipv6/conf/all/forwarding", "1")


def _read(name: str) -> str:
    try:
        with open(f"{_SYSCTL}/{name}", "rb", buffering=0) as file:
            return file.read().decode().strip()
    except OSError:
        return ""


def _write(name: str, value: str) -> None:
    if _read(name) != value:
        with open(f"{_SYSCTL}/{name}", "wb", buffering=0) as file:
            file.write(value.encode())

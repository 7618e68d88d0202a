"""Ranges of addresses for networks: those that are asked for are looked at, others are chosen where nothing else is."""

from __future__ import annotations

from _socket import AF_INET, AF_INET6

from utsuwa.errors import Conflict, InvalidArgument, Unavailable
from utsuwa.linux.rtnetlink import Route
from utsuwa.network import addresses
from utsuwa.network.addresses import Subnet
from utsuwa.network.records import Pool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from utsuwa.network.state import Places


def pools(
    subnets: Sequence[str], gateways: Sequence[str], ranges: Sequence[str], auxiliary: Sequence[str]
) -> tuple[Pool, ...]:
    """One for each subnet, with what of the other words lies in it (``auxiliary``: NAME=ADDRESS). Raises
    InvalidArgument.
    """
    found: dict[Subnet, Pool] = {}
    for text in subnets:
        subnet = addresses.subnet(text)
        if any(subnet.overlaps(other) for other in found):
            raise InvalidArgument("multiple overlapping subnet configuration is not supported")
        found[subnet] = Pool(subnet=str(subnet), gateway="")

    def place(address: str, what: str) -> Subnet:
        for subnet in found:
            if address in subnet:
                return subnet
        raise InvalidArgument(f"no matching subnet for {what} {address}")

    for address in gateways:
        subnet = place(address, "gateway")
        if found[subnet].gateway:
            raise InvalidArgument(f"cannot configure multiple gateways ({address}) on the same subnet ({subnet})")
        found[subnet] = found[subnet].replace(gateway=address)
    for text in ranges:
        around = addresses.subnet(text)
        subnet = place(addresses.text(around.first, around.bits), "range")
        found[subnet] = found[subnet].replace(range=str(around))
    for text in auxiliary:
        name, _, address = text.rpartition("=")
        subnet = place(address, "aux-address")
        found[subnet] = found[subnet].replace(reserved={**found[subnet].reserved, name or address: address})
    return tuple(found.values())


def complete(places: Places, identifier: str, pools: tuple[Pool, ...], ipv6: bool) -> tuple[Pool, ...]:
    """Pools with everything chosen: at least one of version 4, and with ``ipv6`` one of version 6.

    Raises Conflict for a range that another network has, InvalidArgument for what can't be.
    """
    others = [addresses.subnet(pool.subnet) for network in places.networks() for pool in network.pools]
    found = []
    for pool in pools:
        subnet = addresses.subnet(pool.subnet)
        if any(subnet.overlaps(other) for other in others):
            raise Conflict("invalid pool request: Pool overlaps with other one on this address space")
        if subnet.bits == 128 and not ipv6:
            raise InvalidArgument(f"subnet {pool.subnet} needs --ipv6")
        others.append(subnet)
        found.append(_checked(pool, subnet))
    if not any(":" not in pool.subnet for pool in found):
        found.insert(0, _with_gateway(_free(others)))
    if ipv6 and not any(":" in pool.subnet for pool in found):
        found.append(_with_gateway(_local(identifier)))
    return tuple(found)


def _checked(pool: Pool, subnet: Subnet) -> Pool:
    """A pool that somebody wrote, in the usual form."""
    if subnet.length > subnet.bits - 2:
        raise InvalidArgument(f"subnet {pool.subnet} is too small for a gateway and a container")
    if pool.range:
        around = addresses.subnet(pool.range)
        if around.bits != subnet.bits or not (subnet.first <= around.first and around.last <= subnet.last):
            raise InvalidArgument(f"no matching subnet for range {pool.range}")
    reserved = {name: addresses.canonical(address) for name, address in pool.reserved.items()}
    for address in (*([pool.gateway] if pool.gateway else []), *reserved.values()):
        if address not in subnet:
            raise InvalidArgument(f"no matching subnet for gateway or address {address}")
    gateway = addresses.canonical(pool.gateway) if pool.gateway else _first(subnet, set(reserved.values()))
    return pool.replace(subnet=str(subnet), gateway=gateway, reserved=reserved)


def _first(subnet: Subnet, taken: set[str]) -> str:
    number = subnet.first + 1
    while addresses.text(number, subnet.bits) in taken:
        number += 1
    return addresses.text(number, subnet.bits)


def _with_gateway(subnet: Subnet) -> Pool:
    return Pool(subnet=str(subnet), gateway=_first(subnet, set()))


def _free(others: list[Subnet]) -> Subnet:
    """The first of Docker's ranges that no network has, and no way of the host leads to."""
    taken = others + _host_ranges()
    for subnet in _candidates():
        if not any(subnet.overlaps(other) for other in taken):
            return subnet
    raise Unavailable("all predefined address pools have been fully subnetted, name one with --subnet")


def _candidates() -> Iterator[Subnet]:
    for second in range(17, 32):
        yield addresses.subnet(f"172.{second}.0.0/16")
    for third in range(0, 256, 16):
        yield addresses.subnet(f"192.168.{third}.0/20")


def _host_ranges() -> list[Subnet]:
    with Route() as route:
        found = [Subnet(number, length, 32) for number, length, _ in route.routes(AF_INET)]
        found += [Subnet(number, length, 128) for number, length, _ in route.routes(AF_INET6)]
        found += [addresses.subnet(f"{address}/{length}") for address, length in route.addresses()]
    return [subnet for subnet in found if subnet.length]


def _local(identifier: str) -> Subnet:
    """A range of unique local addresses (RFC 4193) that nobody else chooses: its 40 bits are the network's id's."""
    digits = identifier[:10]
    return addresses.subnet(f"fd{digits[:2]}:{digits[2:6]}:{digits[6:10]}::/64")

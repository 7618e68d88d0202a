"""Who has which address: a symbolic link for each, named by the address, that leads to the container.

A place in a network is written down before its addresses are taken, and removed after they are free again: whoever
cleans up after a process that was killed finds in it all that there is to free.
"""

from __future__ import annotations

import os

from utsuwa.errors import Conflict, Error, InvalidArgument, Unavailable
from utsuwa.network import addresses
from utsuwa.network.state import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.network.addresses import Subnet
    from utsuwa.network.records import Endpoint, Network, Pool
    from utsuwa.network.state import Places


def take(
    places: Places, network: Network, fixed: tuple[str, str], describe: Callable[[list[str]], Endpoint]
) -> Endpoint:
    """Take an address of every pool, those of ``fixed`` (version 4 and 6, "" for any); ``describe`` makes the record.

    Raises InvalidArgument for an address outside of the network, Conflict for one in use, Unavailable when all are.
    """
    lock = places.lock(network.id)
    try:
        directory = f"{places.run}/{network.id}"
        for part in ("addresses", "endpoints"):
            os.makedirs(f"{directory}/{part}", 0o711, exist_ok=True)
        used = set(os.listdir(f"{directory}/addresses"))
        chosen = _choose(network, directory, used, fixed)
        endpoint = describe([f"{address}/{length}" for address, length in chosen])
        write(places.endpoint(network.id, endpoint.container), endpoint)
        for address, _ in chosen:
            os.symlink(endpoint.container, f"{directory}/addresses/{address}")
    finally:
        os.close(lock)
    return endpoint


def give_back(places: Places, endpoint: Endpoint) -> None:
    """Free the addresses, and remove the place. Can be repeated."""
    for address in endpoint.addresses:
        link = f"{places.run}/{endpoint.network}/addresses/{address.partition('/')[0]}"
        try:
            if os.readlink(link) == endpoint.container:
                os.unlink(link)
        except FileNotFoundError:
            continue
    try:
        os.unlink(places.endpoint(endpoint.network, endpoint.container))
    except FileNotFoundError:
        return


def check(network: Network, fixed: tuple[str, str]) -> None:
    """Raise InvalidArgument for addresses that no pool has."""
    for address in fixed:
        if address and not any(address in addresses.subnet(pool.subnet) for pool in network.pools):
            raise InvalidArgument(
                f"invalid endpoint settings: no configured subnet or ip-range contain the IP address {address}"
            )


def _choose(network: Network, directory: str, used: set[str], fixed: tuple[str, str]) -> list[tuple[str, int]]:
    check(network, fixed)
    wanted = {(128 if ":" in address else 32): address for address in fixed if address}
    chosen, versions = [], set()
    for pool in network.pools:
        subnet = addresses.subnet(pool.subnet)
        if subnet.bits in versions:  # further pools of a version are for addresses that are asked for
            continue
        address = wanted.get(subnet.bits, "")
        if address:
            subnet = next(found for found in _subnets(network) if address in found)
            if address in used or address in _kept(network):
                raise Conflict(f"failed to set up container networking: Address already in use: {address}")
        else:
            address = _next(network, pool, subnet, directory, used)
        versions.add(subnet.bits)
        chosen.append((address, subnet.length))
    return chosen


def _subnets(network: Network) -> list[Subnet]:
    return [addresses.subnet(pool.subnet) for pool in network.pools]


def _kept(network: Network) -> set[str]:
    """Addresses that no container gets."""
    found = set()
    for pool in network.pools:
        found |= {pool.gateway, *pool.reserved.values()}
    return found


def _next(network: Network, pool: Pool, subnet: Subnet, directory: str, used: set[str]) -> str:
    """The first free one behind that which was given last: one that somebody had lately may still be in caches."""
    around = addresses.subnet(pool.range) if pool.range else subnet
    low, high = max(around.first, subnet.first + 1), min(around.last, subnet.last - (subnet.bits == 32))
    kept = _kept(network)
    mark = f"{directory}/last{4 if subnet.bits == 32 else 6}"
    last = _last(mark)
    start = last + 1 if low <= last < high else low
    for count in range(min(high - low + 1, len(used) + len(kept) + 1)):
        number = low + (start - low + count) % (high - low + 1)
        address = addresses.text(number, subnet.bits)
        if address not in used and address not in kept:
            with open(mark, "wb", buffering=0) as file:
                file.write(address.encode())
            return address
    raise Unavailable(f"no available addresses on network {network.name} ({pool.range or pool.subnet})")


def _last(mark: str) -> int:
    try:
        with open(mark, "rb", buffering=0) as file:
            return addresses.parse(file.read().decode("ascii", "replace"))[0]
    except (OSError, Error):
        return 0

"""A container's places in networks: taken when it starts or is connected, given up when it ends or is disconnected.

The order makes every interruption visible: what is written down comes before what it describes, and goes after it.
"""

from __future__ import annotations

import os
from errno import ENODEV

from utsuwa.errors import Error, NotFound, from_oserror
from utsuwa.linux import rtnetlink
from utsuwa.network import bridge, files, firewall, ground, leases, ports
from utsuwa.network.records import Endpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.linux.rtnetlink import Route
    from utsuwa.network.records import Attachment, Network, Plugs
    from utsuwa.network.state import Places


_OWN_STACK = ("runsc",)
"""Runtimes whose containers have a protocol stack of their own: it takes addresses and routes over, but no rules."""


class Inside:
    """The network namespace of a container as rtnetlink names it, and a conversation with the kernel there.

    ``sockets``: of rtnetlink, and of netfilter where there is one; ours from here on. ``runtime``: the command of
    another runtime that makes the container. ``embeds``: the container may ask at 127.0.0.11.
    """

    __slots__ = ("embeds", "filter", "namespace", "route")

    def __init__(self, namespace: tuple[int, int], sockets: tuple[int, ...], runtime: tuple[str, ...] = ()) -> None:
        self.namespace, self.route = namespace, rtnetlink.Route(sockets[0])
        self.filter = sockets[1] if len(sockets) > 1 else -1
        self.embeds = self.filter >= 0 and not (runtime and os.path.basename(runtime[0]) in _OWN_STACK)

    def __enter__(self) -> Inside:
        return self

    def __exit__(self, *_problem: object) -> None:
        self.route.__exit__()
        if self.filter >= 0:
            os.close(self.filter)


def join_all(places: Places, container: str, inside: Inside) -> None:
    """Put a container that is being started into its networks, and tell it by its files."""
    plugs = places.plugs(container)
    if plugs is None:
        return
    leave(places, container)  # whatever a start that was killed has left
    if os.path.isdir(places.plugged):
        from utsuwa.network.cni import membership

        membership.leave(places, container)
    endpoints: list[Endpoint] = []
    for attachment in plugs.attachments:
        own = unpublished(plugs, endpoints)
        endpoints.append(join(places, container, own, attachment, inside, f"eth{len(endpoints)}"))
    set_default_routes(inside.route, endpoints)
    publish(places, plugs, endpoints)
    tell(places, container, plugs, endpoints, inside)
    open_gate(places)


def unpublished(plugs: Plugs, endpoints: list[Endpoint]) -> Plugs:
    """What a further network is asked for: ports lead to the first one that leads out."""
    return plugs.replace(ports=()) if any(each.ports or each.gateways for each in endpoints) else plugs


def open_gate(places: Places) -> None:
    """Where bridges do not stand on the host: see to it that they have a way out, and published ports one in."""
    if ground.is_own():
        from utsuwa.network.summons import GATE, summon

        summon(places, GATE)


def join(
    places: Places, container: str, plugs: Plugs, attachment: Attachment, inside: Inside, interface: str
) -> Endpoint:
    """Take a place in one network: addresses, a pair of interfaces, and the one inside set up."""
    try:
        network = places.network(attachment.network)
    except NotFound:
        raise NotFound(
            f"network {attachment.name} not found: it was removed, disconnect the container from it"
        ) from None
    if network.cni:
        return _have_plugged(places, network, container, plugs, attachment, inside, interface)
    index = bridge.ensure(places, network)
    fixed = (attachment.ip, attachment.ip6)
    endpoint = leases.take(
        places,
        network,
        fixed,
        lambda chosen: _describe(network, container, plugs, attachment, interface, chosen, inside.embeds),
    )
    try:
        _connect(places, network, index, endpoint, inside, attachment.link_local)
    except OSError as error:
        raise from_oserror(error, f"connect to network {network.name}") from error
    return endpoint


def _have_plugged(
    places: Places,
    network: Network,
    container: str,
    plugs: Plugs,
    attachment: Attachment,
    inside: Inside,
    interface: str,
) -> Endpoint:
    from utsuwa.network.cni import membership

    endpoint = Endpoint(
        id=os.urandom(32).hex(),
        container=container,
        network=network.id,
        interface=interface,
        veth="",
        mac=attachment.mac,
        names=plugs.names,
        dns=plugs.dns,
        priority=attachment.priority,
        plugged=True,
    )
    return membership.join(places, network, plugs, attachment, inside, endpoint)


def _describe(
    network: Network,
    container: str,
    plugs: Plugs,
    attachment: Attachment,
    interface: str,
    chosen: list[str],
    embeds: bool,
) -> Endpoint:
    gateways = () if network.internal else tuple(_gateway(network, address) for address in chosen)
    return Endpoint(
        id=os.urandom(32).hex(),
        container=container,
        network=network.id,
        interface=interface,
        veth=f"veth{os.urandom(4).hex()}",
        mac=attachment.mac or _mac(chosen),
        addresses=tuple(chosen),
        gateways=gateways,
        names=tuple(dict.fromkeys((*plugs.names, *attachment.aliases, container[:12]))),
        dns=plugs.dns,
        resolver=network.names or bool(plugs.attachments and not _servers(plugs)),
        embedded=network.names and embeds,
        priority=attachment.priority,
    )


def _gateway(network: Network, address: str) -> str:
    from utsuwa.network.addresses import subnet

    return next(pool.gateway for pool in network.pools if address.partition("/")[0] in subnet(pool.subnet))


def _mac(chosen: list[str]) -> str:
    """Made of the address of version 4: whoever gets that address next has the same, and no cache is wrong."""
    for address in chosen:
        if ":" not in address:
            numbers = address.partition("/")[0].split(".")
            return ":".join(["02", "42", *(f"{int(number):02x}" for number in numbers)])
    return (b"\2\x42" + os.urandom(4)).hex(":")


def _connect(
    places: Places, network: Network, index: int, endpoint: Endpoint, inside: Inside, further: tuple[str, ...]
) -> None:
    mac = bytes.fromhex(endpoint.mac.replace(":", ""))
    with ground.route(places) as host:
        host.do(*rtnetlink.new_veth(endpoint.veth, network.mtu, index, endpoint.interface, mac, inside.namespace))
        if not network.talk:
            outer = host.link(endpoint.veth)
            if outer:
                host.do(rtnetlink.isolate(outer.index))
    link = inside.route.link(endpoint.interface)
    assert link is not None
    steps = []
    if not any(":" in address for address in (*endpoint.addresses, *further)):
        steps.append(rtnetlink.no_link_local(link.index))
    for address in (*endpoint.addresses, *(f"{each}/{64 if ':' in each else 16}" for each in further)):
        bare, _, length = address.partition("/")
        steps.append(rtnetlink.add_address(link.index, bare, int(length)))
    inside.route.do(*steps, rtnetlink.set_up(link.index))


def set_default_routes(route: Route, endpoints: list[Endpoint]) -> None:
    """For each version the first network of the highest priority that leads out is the way out."""
    endpoints = sorted(endpoints, key=lambda endpoint: -endpoint.priority)
    for version6 in (False, True):
        for endpoint in endpoints:
            gateway = next((each for each in endpoint.gateways if (":" in each) == version6), "")
            if gateway and endpoint.plugged:  # its plugins have set it
                break
            link = route.link(endpoint.interface) if gateway else None
            if link:
                try:
                    _set_default_route(route, link.index, gateway)
                except OSError as error:
                    raise from_oserror(error, f"set the default route by way of {gateway}") from error
                break


def _set_default_route(route: Route, index: int, gateway: str) -> None:
    """Instead of the first one that there is; ours may be behind one that a plugin has put before it."""
    try:
        route.do(rtnetlink.add_default_route(index, gateway))
    except FileExistsError:
        route.do(rtnetlink.delete_default_route(index, gateway))
        route.do(rtnetlink.add_default_route(index, gateway))


def publish(places: Places, plugs: Plugs, endpoints: list[Endpoint]) -> None:
    """Ports lead to the container's place in the first network that leads out."""
    if any(endpoint.ports for endpoint in endpoints):  # by plugins
        return
    for number, endpoint in enumerate(endpoints):
        if plugs.ports and endpoint.gateways and not endpoint.plugged:
            network = places.network(endpoint.network)
            wanted = tuple([port.replace(host_ip=port.host_ip or network.bind) for port in plugs.ports])
            endpoints[number] = taken = ports.take(places, endpoint, wanted)
            _reflect(places, taken)
            ground.on(places, firewall.publish, taken.ports, taken.addresses)
            return


def _reflect(places: Places, endpoint: Endpoint) -> None:
    """A container may ask for its own port by way of the host; with br_netfilter that does not leave the bridge."""
    with ground.route(places) as host:
        link = host.link(endpoint.veth)
        if link:
            try:
                host.do(rtnetlink.reflect(link.index))
            except OSError as error:
                raise from_oserror(error, f"set up the interface {endpoint.veth}") from error


def tell(
    places: Places, container: str, plugs: Plugs, endpoints: list[Endpoint], inside: Inside, *, anew: bool = False
) -> None:
    """Write the files that the container has in /etc, and see to it that its questions are answered. ``anew``: it runs
    already, and they may have been answered elsewhere.
    """
    directory = f"{places.containers}/{container}"
    gateway = _host_in(places, endpoints)
    # by way of a network that leads out, if there is one: in others nothing goes on to servers elsewhere
    asks = sorted([each for each in endpoints if each.resolver], key=lambda each: not each.gateways)
    host = files.host_resolution()
    servers = _servers(plugs) if endpoints else []
    if endpoints and endpoints[0].plugged and not plugs.dns:
        from utsuwa.network.cni import membership

        servers = membership.servers(places, endpoints) or servers
    if asks:
        servers = _lead(places, asks, inside, anew)
    try:
        files.rewrite(f"{directory}/hosts", files.hosts(plugs, endpoints, gateway))
        files.rewrite(f"{directory}/resolv.conf", files.resolv_conf(plugs, host, servers, bool(asks)))
    except OSError as error:
        raise from_oserror(error, f"write into {directory}") from error
    if asks:
        from utsuwa.network.summons import summon

        summon(places)


def _host_in(places: Places, endpoints: list[Endpoint]) -> str:
    """The host's address for a container: that on its way out, or else in a network that has none."""
    for endpoint in endpoints:
        for gateway in endpoint.gateways:
            return gateway
    pools = [pool for endpoint in endpoints[:1] for pool in places.network(endpoint.network).pools]
    return pools[0].gateway if pools else ""


def _lead(places: Places, asks: list[Endpoint], inside: Inside, anew: bool) -> list[str]:
    """Where a container finds our resolver: at the address that all know, or at the host's in the network."""
    by_name = next((endpoint for endpoint in asks if endpoint.embedded), None)
    if by_name is None:
        return [pool.gateway for pool in places.network(asks[0].network).pools][:2]
    network = places.network(by_name.network)
    from utsuwa.network import embedded

    first = next(address for address in by_name.addresses if ":" not in address)
    embedded.lead(inside, by_name, _gateway(network, first), anew)
    return [embedded.ADDRESS]


def _servers(plugs: Plugs) -> list[str]:
    """Servers that a container can ask by itself."""
    if plugs.dns:
        return list(plugs.dns)
    return [server for server in files.host_resolution().servers if not files.is_loopback(server)]


def leave(places: Places, container: str) -> list[str]:
    """Give up all places of a container; the names of its interfaces on the host, which go with its namespace."""
    endpoints = places.of(container)
    for endpoint in endpoints:
        give_up(places, endpoint)
    tell_of(places, endpoints)
    return [endpoint.veth for endpoint in endpoints if endpoint.veth]


def tell_of(places: Places, endpoints: list[Endpoint]) -> None:
    """Tell those who are there for these places that they were given up."""
    from utsuwa.network.summons import GATE, RESOLVER, poke

    if any(endpoint.resolver for endpoint in endpoints):
        poke(places, RESOLVER)
    if endpoints and ground.is_own():
        poke(places, GATE)


def give_up(places: Places, endpoint: Endpoint) -> None:
    """Give up one place. Can be repeated."""
    if endpoint.ports and not endpoint.plugged:
        try:
            ground.on(places, firewall.withdraw, endpoint.ports, endpoint.addresses)
        except Error:  # without nft there are no rules of ours
            pass
    ports.give_back(places, endpoint)
    leases.give_back(places, endpoint)


def unplug(places: Places, names: list[str]) -> None:
    """Remove interfaces of the host. Their other ends go with them, in whose namespace ever they are."""
    if not names:
        return
    with ground.route(places) as host:
        for name in names:
            try:
                host.do(rtnetlink.delete_link(name))
            except OSError as error:
                if error.errno != ENODEV:
                    raise from_oserror(error, f"remove the interface {name}") from error

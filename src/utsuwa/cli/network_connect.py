"""`utsuwa network connect` (docker network connect)."""

from __future__ import annotations

from utsuwa.cli.flags import LIST, WORD, Option
from utsuwa.cli.house import House, Verb
from utsuwa.errors import Unsupported
from utsuwa.spec.request import NetworkWish

VERB = Verb(
    "network connect [OPTIONS] NETWORK CONTAINER",
    "Connect a container to a network",
    (
        Option("alias", "", LIST, "Add network-scoped alias for the container"),
        Option("gw-priority", "", WORD, "The network of the highest one provides the default gateway", "0"),
        Option("ip", "", WORD, "IPv4 address (e.g., 172.30.100.104)"),
        Option("ip6", "", WORD, "IPv6 address (e.g., 2001:db8::33)"),
        Option("link", "", LIST, "Add link to another container (not supported: it is found by its name)"),
        Option("link-local-ip", "", LIST, "Add a link-local address for the container"),
    ),
    least=2,
    most=2,
)


def run(words: list[str]) -> int:
    """Prints nothing."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    if arguments.list("link"):
        raise Unsupported("unsupported: --link (containers of a network find each other by name)")
    from utsuwa.engine.connecting import connect
    from utsuwa.engine.networks import Networks
    from utsuwa.spec.network_flags import address_of, link_local, priority_of

    house = House()
    name, container = arguments.words
    wish = NetworkWish(
        network=name,
        aliases=tuple(arguments.list("alias")),
        ip=address_of(arguments.text("ip"), 4) if arguments.text("ip") else "",
        ip6=address_of(arguments.text("ip6"), 6) if arguments.text("ip6") else "",
        link_local=tuple(map(link_local, arguments.list("link-local-ip"))),
        priority=priority_of(arguments.text("gw-priority")),
    )
    network = Networks(house.paths).find(name)
    connect(house.paths, house.containers.find(container), network, wish)
    return 0

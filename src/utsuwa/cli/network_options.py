"""The options of `run` and `create` that are about networks, and the parts of the request that they amount to."""

from __future__ import annotations

from utsuwa.cli.flags import LIST, SWITCH, WORD, Option
from utsuwa.errors import InvalidArgument, Unsupported
from utsuwa.spec.request import NetworkSettings, NetworkWish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.cli.flags import Arguments

OPTIONS = (
    Option("add-host", "", LIST, "Add a custom host-to-IP mapping (host:ip, host:host-gateway)"),
    Option("dns", "", LIST, "Set custom DNS servers"),
    Option("dns-opt", "", LIST, "As --dns-option"),
    Option("dns-option", "", LIST, "Set DNS options"),
    Option("dns-search", "", LIST, "Set custom DNS search domains"),
    Option("expose", "", LIST, "Expose a port or a range of ports"),
    Option("ip", "", WORD, "IPv4 address (e.g., 172.30.100.104)"),
    Option("ip6", "", WORD, "IPv6 address (e.g., 2001:db8::33)"),
    Option("link", "", LIST, "Add link to another container (not supported: use a network)"),
    Option("link-local-ip", "", LIST, "Container IPv4/IPv6 link-local addresses"),
    Option("mac-address", "", WORD, "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
    Option("net", "", LIST, "As --network"),
    Option("net-alias", "", LIST, "As --network-alias"),
    Option("network", "", LIST, "Connect a container to a network (NAME, bridge, host, none, container:ID)"),
    Option("network-alias", "", LIST, "Add network-scoped alias for the container"),
    Option("publish", "p", LIST, "Publish a container's port(s) to the host"),
    Option("publish-all", "P", SWITCH, "Publish all exposed ports to random ports"),
)
_TOUCHING = {option.name for option in OPTIONS} - {"net", "network"}


def wanted(arguments: Arguments) -> dict[str, Any]:
    """The fields of the request. Raises InvalidArgument and Unsupported."""
    names = arguments.list("network") + arguments.list("net")
    if not (names or _TOUCHING & arguments.given):
        return {}
    from utsuwa.spec import network_flags as flags

    wishes = [flags.parse_network(name) for name in names] or [NetworkWish(network="default")]
    wishes[0] = _own(arguments, wishes[0])
    if arguments.list("link"):
        raise Unsupported(
            "unsupported: --link (put both containers into one network: there they find each other by name)"
        )
    first = wishes[0].network
    options = arguments.list("dns-option") + arguments.list("dns-opt")
    return {
        "network": first,
        "networks": tuple(wishes) if len(wishes) > 1 or wishes[0] != NetworkWish(network=first) else (),
        "networking": NetworkSettings(
            ports=tuple(port for text in arguments.list("publish") for port in flags.parse_publish(text)),
            publish_all=arguments.on("publish-all"),
            expose=tuple(dict.fromkeys(port for text in arguments.list("expose") for port in flags.parse_expose(text))),
            hosts=tuple(map(flags.parse_add_host, arguments.list("add-host"))),
            dns=tuple(map(flags.address_of, arguments.list("dns"))),
            dns_search=tuple(flags.parse_dns_word(text, "dns-search") for text in arguments.list("dns-search")),
            dns_options=tuple(flags.parse_dns_word(text, "dns-option") for text in options),
        ),
    }


def _own(arguments: Arguments, wish: NetworkWish) -> NetworkWish:
    """The first network gets what is said without naming one."""
    from utsuwa.spec import network_flags as flags

    given = {
        "ip": flags.address_of(arguments.text("ip"), 4) if arguments.text("ip") else "",
        "ip6": flags.address_of(arguments.text("ip6"), 6) if arguments.text("ip6") else "",
        "mac": flags.mac_of(arguments.text("mac-address")) if arguments.text("mac-address") else "",
    }
    for field, value in given.items():
        if value and getattr(wish, field):
            raise InvalidArgument(f"conflicting options: {field} is given twice for network {wish.network}")
    aliases = tuple(arguments.list("network-alias") + arguments.list("net-alias"))
    further = wish.link_local + tuple(map(flags.link_local, arguments.list("link-local-ip")))
    told = {key: value for key, value in given.items() if value}
    return wish.replace(aliases=wish.aliases + aliases, link_local=further, **told)

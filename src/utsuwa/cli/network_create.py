"""`utsuwa network create` (docker network create)."""

from __future__ import annotations

from utsuwa.cli.flags import LIST, SWITCH, WORD, Option
from utsuwa.cli.house import House, Verb
from utsuwa.errors import InvalidArgument, Unsupported

VERB = Verb(
    "network create [OPTIONS] NETWORK",
    "Create a network",
    (
        Option("attachable", "", SWITCH, "Note that containers may be attached (they always may)"),
        Option("aux-address", "", LIST, "Auxiliary IPv4 or IPv6 addresses that no container gets (name=address)"),
        Option("driver", "d", WORD, "Driver to manage the Network", "bridge"),
        Option("gateway", "", LIST, "IPv4 or IPv6 Gateway for the master subnet"),
        Option("internal", "", SWITCH, "Restrict external access to the network"),
        Option("ip-range", "", LIST, "Allocate container ip from a sub-range"),
        Option("ipam-driver", "", WORD, "IP Address Management Driver", "default"),
        Option("ipv4", "", SWITCH, "Enable IPv4 address assignment (always on)", True),
        Option("ipv6", "", SWITCH, "Enable IPv6 address assignment"),
        Option("label", "", LIST, "Set metadata on a network"),
        Option("opt", "o", LIST, "Set driver specific options"),
        Option("subnet", "", LIST, "Subnet in CIDR format that represents a network segment"),
    ),
    least=1,
    most=1,
)


def run(words: list[str]) -> int:
    """Print the id."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    if arguments.text("ipam-driver") != "default":
        raise Unsupported(f"unsupported: IPAM driver {arguments.text('ipam-driver')} (use default)")
    if not arguments.on("ipv4"):
        raise Unsupported("unsupported: a network without IPv4")
    from utsuwa.engine.networks import Networks
    from utsuwa.engine.subnets import pools
    from utsuwa.spec.flags import parse_labels

    network = Networks(House().paths).create(
        arguments.words[0],
        driver=arguments.text("driver"),
        pools=pools(*map(arguments.list, ("subnet", "gateway", "ip-range", "aux-address"))),
        ipv6=arguments.on("ipv6"),
        internal=arguments.on("internal"),
        attachable=arguments.on("attachable"),
        labels=parse_labels(arguments.list("label")),
        options=dict(map(_option, arguments.list("opt"))),
    )
    print(network.id)
    return 0


def _option(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise InvalidArgument(f"invalid driver option {text!r}: expected key=value")
    return key, value

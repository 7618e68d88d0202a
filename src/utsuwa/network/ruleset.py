"""The table of nf_tables that all networks share, and what each network and each published port puts into its sets.

Only table ``inet utsuwa`` is ever touched. Its chains are made once and never change: a network, or a port, is an
element of a set or a map, so that the rules do not grow with them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.network.records import Network
    from utsuwa.spec.request import PublishedPort

TABLE = "utsuwa"

_SETS = """\
set open { type ifname; }
set closed { type ifname; }
set same { type ifname . ifname; }
set nets4 { type ipv4_addr; flags interval; }
set home4 { type ipv4_addr . ifname; flags interval; }
set nets6 { type ipv6_addr; flags interval; }
set home6 { type ipv6_addr . ifname; flags interval; }
map any4 { type inet_proto . inet_service : ipv4_addr . inet_service; }
map one4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
map any6 { type inet_proto . inet_service : ipv6_addr . inet_service; }
map one6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }
"""

_CHAINS = {
    "publish": (
        "",
        "dnat ip to ip daddr . meta l4proto . th dport map @one4",
        "dnat ip to meta l4proto . th dport map @any4",
        "dnat ip6 to ip6 daddr . meta l4proto . th dport map @one6",
        "dnat ip6 to meta l4proto . th dport map @any6",
    ),
    # route_localnet lets clients on 127.0.0.1 reach published ports; containers must not come the other way
    # (CVE-2020-8558).
    "early": (
        "type filter hook prerouting priority raw; policy accept;",
        "iifname @open ip daddr 127.0.0.0/8 drop",
        "iifname @closed ip daddr 127.0.0.0/8 drop",
    ),
    # What is published on 127.0.0.1 only is not for a neighbour that sends us packets with that address.
    "prerouting": (
        "type nat hook prerouting priority dstnat; policy accept;",
        "ip daddr 127.0.0.0/8 return",
        "fib daddr type local jump publish",
    ),
    # There is no route_localnet for ::1: who tries it is to be refused at once, and goes on to 127.0.0.1.
    "output": (
        "type nat hook output priority -100; policy accept;",
        "ip6 daddr ::1 return",
        "fib daddr type local jump publish",
    ),
    # Whoever comes back to the network that he is in by way of a published port must be answered by way of us.
    "postrouting": (
        "type nat hook postrouting priority srcnat; policy accept;",
        "ip saddr @nets4 ip saddr . oifname != @home4 masquerade",
        "ip6 saddr @nets6 ip6 saddr . oifname != @home6 masquerade",
        "ct status dnat ip saddr . oifname @home4 masquerade",
        "ct status dnat ip6 saddr . oifname @home6 masquerade",
        "oifname @open ip saddr 127.0.0.0/8 masquerade",
    ),
    "forward": (
        "type filter hook forward priority filter; policy accept;",
        "iifname . oifname @same accept",
        "iifname @closed drop",
        "oifname @closed drop",
        "oifname @open ct state established,related accept",
        "oifname @open ct status dnat accept",
        "oifname @open drop",
    ),
}


def foundation() -> str:
    """The table without any network; the script fails as a whole where there is one already."""
    lines = [f"create table inet {TABLE}"]
    for line in _SETS.splitlines():
        kind, _, rest = line.partition(" ")
        lines.append(f"add {kind} inet {TABLE} {rest}")
    for chain, (base, *rules) in _CHAINS.items():
        lines.append(f"add chain inet {TABLE} {chain}" + (f" {{ {base} }}" if base else ""))
        lines += [f"add rule inet {TABLE} {chain} {rule}" for rule in rules]
    return "\n".join(lines) + "\n"


def of_network(network: Network) -> list[tuple[str, str, str]]:
    """A network's elements: set, key, and a value for maps."""
    bridge = f'"{network.bridge}"'
    found = [("closed" if network.internal else "open", bridge, ""), ("same", f"{bridge} . {bridge}", "")]
    for pool in network.pools:
        version = 6 if ":" in pool.subnet else 4
        found.append((f"home{version}", f"{pool.subnet} . {bridge}", ""))
        if network.masquerade and not network.internal:
            found.append((f"nets{version}", pool.subnet, ""))
    return found


def of_port(port: PublishedPort, addresses: list[str]) -> list[tuple[str, str, str]]:
    """The elements that lead a port of the host to a container's addresses, without their prefixes."""
    found = []
    for address in addresses:
        version = 6 if ":" in address else 4
        service = f"{port.protocol} . {port.host_port}"
        if port.host_ip in ("", "0.0.0.0" if version == 4 else "::"):
            found.append((f"any{version}", service, f"{address} . {port.port}"))
        elif (":" in port.host_ip) == (version == 6):
            found.append((f"one{version}", f"{port.host_ip} . {service}", f"{address} . {port.port}"))
    return found


def adding(elements: list[tuple[str, str, str]]) -> str:
    """A script that puts elements in; those that are there already don't matter, unless they lead elsewhere."""
    return "".join([f"add element inet {TABLE} {name} {{ {_entry(key, value)} }}\n" for name, key, value in elements])


def removing(element: tuple[str, str, str]) -> str:
    """A script that takes one element away, be it there or not; it fails where the same key leads elsewhere."""
    name, key, _ = element
    return f"{adding([element])}delete element inet {TABLE} {name} {{ {key} }}\n"


def _entry(key: str, value: str) -> str:
    return f"{key} : {value}" if value else key

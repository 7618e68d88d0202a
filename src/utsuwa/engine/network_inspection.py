"""Documents about networks, in the shapes of Docker's API: a network, and what a container has of networks."""

from __future__ import annotations

from utsuwa.engine.networks import MODES, Networks
from utsuwa.errors import Error
from utsuwa.network.state import Places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.paths import Paths
    from utsuwa.network.records import Attachment, Endpoint, Network, Pool
    from utsuwa.spec.request import PublishedPort


_PLACE = {
    "EndpointID": "",
    "Gateway": "",
    "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0,
    "IPAddress": "",
    "IPPrefixLen": 0,
    "IPv6Gateway": "",
    "MacAddress": "",
}
"""What older clients look for."""


def network(paths: Paths, found: Network, *, ask: bool = False) -> dict[str, object]:
    """The document of a network, as Docker's ``GET /networks/{id}``. ``ask``: plugins, if all is as they made it; what
    they have against a container's place is its ``Check``.
    """
    places = Places(paths.root, paths.run)
    residents = {each.container: _resident(paths, each) for each in places.endpoints(found.id)}
    if ask and found.cni:
        from utsuwa.engine.cni import complaints

        for container, words in complaints(paths, places, found).items():
            residents[container]["Check"] = words
    if found.driver in ("host", "null"):
        residents = _without_network(paths, found.name)
    return {
        "Name": found.name,
        "Id": found.id,
        "Created": found.createdAt,
        "Scope": "local",
        "Driver": found.driver,
        "EnableIPv4": found.driver in ("bridge", "cni"),
        "EnableIPv6": found.ipv6,
        "IPAM": {
            "Driver": "default",
            "Options": {} if found.names else None,
            "Config": [_pool(pool) for pool in found.pools],
        },
        "Internal": found.internal,
        "Attachable": found.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": residents,
        "Options": _options(found),
        "Labels": found.labels,
    }


def _pool(pool: Pool) -> dict[str, object]:
    shown: dict[str, object] = {"Subnet": pool.subnet, "Gateway": pool.gateway}
    if pool.range:
        shown["IPRange"] = pool.range
    if pool.reserved:
        shown["AuxiliaryAddresses"] = pool.reserved
    return shown


def _options(found: Network) -> dict[str, str]:
    if found.driver != "bridge" or found.names:
        return found.options
    return {
        "com.docker.network.bridge.default_bridge": "true",
        "com.docker.network.bridge.enable_icc": "true",
        "com.docker.network.bridge.enable_ip_masquerade": "true",
        "com.docker.network.bridge.name": found.bridge,
        "com.docker.network.driver.mtu": str(found.mtu),
    }


def _resident(paths: Paths, endpoint: Endpoint) -> dict[str, object]:
    from utsuwa.engine.metadata import Metadata

    try:
        name = Metadata(paths).load(endpoint.container).name
    except Error:
        name = endpoint.names[0] if endpoint.names else ""
    return {
        "Name": name,
        "EndpointID": endpoint.id,
        "MacAddress": endpoint.mac,
        "IPv4Address": _of_version(endpoint.addresses, 4),
        "IPv6Address": _of_version(endpoint.addresses, 6),
    }


def _without_network(paths: Paths, mode: str) -> dict[str, dict[str, object]]:
    """The running containers that have the host's network, or none."""
    from utsuwa.engine.metadata import Metadata
    from utsuwa.engine.status import derive

    found = [record for record in Metadata(paths).all() if record.networkMode == mode]
    nothing = dict.fromkeys(("EndpointID", "MacAddress", "IPv4Address", "IPv6Address"), "")
    return {record.id: {"Name": record.name, **nothing} for record in found if derive(paths, record).alive}


def _of_version(addresses: tuple[str, ...], version: int) -> str:
    return next((address for address in addresses if (":" in address) == (version == 6)), "")


def container(paths: Paths, record: ContainerRecord, pid: int) -> dict[str, object]:
    """``NetworkSettings`` of a container; ``pid`` is 0 when it does not run."""
    places = Places(paths.root, paths.run)
    endpoints = {endpoint.network: endpoint for endpoint in places.of(record.id)}
    plugs = places.plugs(record.id)
    shown: dict[str, object] = {}
    for attachment in plugs.attachments if plugs else ():
        shown[attachment.name] = _endpoint(attachment, endpoints.get(attachment.network))
    if record.networkMode in MODES:
        shown[record.networkMode] = _empty(Networks(paths).predefined(record.networkMode).id)
    return {
        "Bridge": "",
        "SandboxID": "",
        "SandboxKey": f"/proc/{pid}/ns/net" if pid else "",
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "Ports": ports(paths, record),
        **_legacy(endpoints, plugs.attachments if plugs else ()),
        "Networks": shown,
    }


def _legacy(endpoints: dict[str, Endpoint], attachments: tuple[Attachment, ...]) -> dict[str, object]:
    """The place in the default network, beside all the places."""
    for attachment in attachments:
        if attachment.name == "bridge" and attachment.network in endpoints:
            found = _endpoint(attachment, endpoints[attachment.network])
            return {key: found[key] for key in _PLACE}
    return dict(_PLACE)


def _endpoint(attachment: Attachment, endpoint: Endpoint | None) -> dict[str, object]:
    asked = (("IPv4Address", attachment.ip), ("IPv6Address", attachment.ip6))
    wanted: dict[str, object] = {key: value for key, value in asked if value}
    if attachment.link_local:
        wanted["LinkLocalIPs"] = list(attachment.link_local)
    found = _empty(attachment.network)
    found |= {
        "GwPriority": attachment.priority,
        "IPAMConfig": wanted or None,
        "Aliases": list(attachment.aliases) or None,
        "MacAddress": attachment.mac,
    }
    if endpoint is None:
        return found
    first, second = _of_version(endpoint.addresses, 4), _of_version(endpoint.addresses, 6)
    return found | {
        "EndpointID": endpoint.id,
        "MacAddress": endpoint.mac,
        "Gateway": _of_version(endpoint.gateways, 4),
        "IPAddress": first.partition("/")[0],
        "IPPrefixLen": int(first.partition("/")[2] or 0),
        "IPv6Gateway": _of_version(endpoint.gateways, 6),
        "GlobalIPv6Address": second.partition("/")[0],
        "GlobalIPv6PrefixLen": int(second.partition("/")[2] or 0),
        "DNSNames": list(endpoint.names),
    }


def _empty(identifier: str) -> dict[str, object]:
    return {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": None,
        "MacAddress": "",
        "DriverOpts": None,
        "GwPriority": 0,
        "NetworkID": identifier,
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": None,
    }


def published(paths: Paths, identifier: str) -> list[PublishedPort]:
    """Ports of the host that lead to a running container, each with the address that it has."""
    found = []
    for endpoint in Places(paths.root, paths.run).of(identifier):
        for port in endpoint.ports:
            if port.host_ip:
                found.append(port)
                continue
            found.append(port.replace(host_ip="0.0.0.0"))
            if _of_version(endpoint.addresses, 6):
                found.append(port.replace(host_ip="::"))
    return found


def ports(paths: Paths, record: ContainerRecord) -> dict[str, object]:
    """``Ports`` of a container: those that are exposed, too."""
    shown: dict[str, object] = {}
    if Places(paths.root, paths.run).of(record.id):  # it runs, and not with the host's network or none
        shown |= dict.fromkeys(record.exposed)
    for port in published(paths, record.id):
        bound = shown.get(f"{port.port}/{port.protocol}")
        binding = {"HostIp": port.host_ip, "HostPort": str(port.host_port)}
        shown[f"{port.port}/{port.protocol}"] = [*(bound if isinstance(bound, list) else []), binding]
    return shown


def ports_column(paths: Paths, record: ContainerRecord) -> str:
    """What ``ps`` shows of a running container's ports, neighbours as a range."""
    found = published(paths, record.id)
    bound = {(port.port, port.protocol) for port in found}
    lone = [each.partition("/") for each in record.exposed]
    entries = [(port.host_ip, port.host_port, port.port, port.protocol) for port in found]
    entries += [("", 0, int(port), protocol) for port, _, protocol in lone if (int(port), protocol) not in bound]
    entries.sort(key=lambda entry: (entry[3], entry[0], entry[2], entry[1]))
    runs: list[list[tuple[str, int, int, str]]] = []
    for entry in entries:
        last = runs[-1][-1] if runs else None
        if last and (last[0], last[3], last[2] + 1) == (entry[0], entry[3], entry[2]) and _goes_on(last[1], entry[1]):
            runs[-1].append(entry)
        else:
            runs.append([entry])
    return ", ".join(_shown(run[0], run[-1]) for run in sorted(runs, key=lambda run: (run[0][2], run[0][3])))


def _goes_on(before: int, after: int) -> bool:
    return after == before + 1 if before and after else before == after


def _shown(first: tuple[str, int, int, str], last: tuple[str, int, int, str]) -> str:
    inside = str(first[2]) if first[2] == last[2] else f"{first[2]}-{last[2]}"
    if not first[1]:
        return f"{inside}/{first[3]}"
    outside = str(first[1]) if first[1] == last[1] else f"{first[1]}-{last[1]}"
    address = f"[{first[0]}]" if ":" in first[0] else first[0]
    return f"{address}:{outside}->{inside}/{first[3]}"

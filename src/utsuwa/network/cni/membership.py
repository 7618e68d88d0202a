"""Containers in networks of CNI plugins: what was asked of the plugins is kept until they have taken it back.

It is written down before they are asked, and lasts longer than the host runs: addresses that a plugin has given out are
written down by that, too. Whoever comes by after a crash or a reboot asks them to take back what no running container
has.
"""

from __future__ import annotations

import os
import time
from fcntl import LOCK_EX, flock

from utsuwa.errors import Error, FailedPrecondition, Unavailable, from_oserror
from utsuwa.linux.rtnetlink import OF_PROCESS
from utsuwa.network import ports
from utsuwa.network.cni import plugins
from utsuwa.network.records import Endpoint, Plugged
from utsuwa.network.state import read, write
from utsuwa.spec.codec import dumps, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from utsuwa.network.plug import Inside
    from utsuwa.network.records import Attachment, Network, Plugs
    from utsuwa.network.state import Places
    from utsuwa.spec.request import PublishedPort

DRIVER = "cni"

_RESPITE = 600
"""Seconds in which plugins that did not end are left alone."""


def join(
    places: Places, network: Network, plugs: Plugs, attachment: Attachment, inside: Inside, endpoint: Endpoint
) -> Endpoint:
    """Have the plugins set up an interface; the endpoint with what they say. With ``plugs.ports`` they publish these.

    Raises FailedPrecondition that names the plugin; then all of them have been told to take it back.
    """
    os.makedirs(f"{places.run}/{network.id}/endpoints", 0o711, exist_ok=True)
    write(places.endpoint(network.id, endpoint.container), endpoint)
    if plugs.ports and "portMappings" in plugins.capabilities(parse(network.cni)):
        endpoint = ports.take(places, endpoint, plugs.ports)
    wishes = _wishes(network, attachment, endpoint.ports)
    asked = Plugged(
        container=endpoint.container,
        network=network.id,
        interface=endpoint.interface,
        configuration=network.cni,
        plugins=network.plugins,
        wishes=dumps(wishes),
    )
    path = _keep(places, asked)
    try:
        result = plugins.add(parse(network.cni), _call(asked, _path(inside)))
        write(path, asked.replace(result=dumps(result)))
        endpoint = _described(endpoint, result)
        write(places.endpoint(network.id, endpoint.container), endpoint)
    except BaseException:
        _take_back(path, asked, _path(inside))
        raise
    return endpoint


def leave(places: Places, container: str, network: str = "", namespace: str = "") -> None:
    """Have plugins take back what a container has of one network, or of all. Can be repeated.

    ``namespace``: its path while there is one. Raises FailedPrecondition for a plugin that fails; then it stays written
    down.
    """
    problem: Error | None = None
    for path, asked in _all(places, lambda name: name.startswith(f"{container},")):
        if network in ("", asked.network):
            try:
                _take_back(path, asked, namespace)
            except Error as error:
                problem = problem or error
    if problem:
        raise problem


def residents(places: Places, network: str = "") -> list[Plugged]:
    """What was asked for in a network, or in all, and not yet taken back."""
    return [asked for _, asked in _all(places, lambda _: True) if network in ("", asked.network)]


def hung_lately(asked: Plugged) -> bool:
    """Plugins did not end when they were asked to take this back: who only looks around does not wait for them."""
    return time.time() - asked.hung < _RESPITE


def check(asked: Plugged, namespace: str) -> str:
    """What plugins have to say against a container's place in a network, "" for nothing."""
    try:
        if asked.result:
            plugins.check(parse(asked.configuration), _call(asked, namespace), parse(asked.result))
    except Error as error:
        return str(error)
    return ""


def servers(places: Places, endpoints: list[Endpoint]) -> list[str]:
    """The name servers that plugins tell of, where all of a container's networks are theirs."""
    found: list[str] = []
    if all(endpoint.plugged for endpoint in endpoints):
        for endpoint in endpoints:
            for asked in residents(places, endpoint.network):
                told = (parse(asked.result).get("dns") or {}) if asked.result else {}
                if asked.container == endpoint.container:
                    found += [each for each in told.get("nameservers") or () if isinstance(each, str)]
    return [each for each in found if each.isprintable() and " " not in each]


def _wishes(network: Network, attachment: Attachment, published: tuple[PublishedPort, ...]) -> dict[str, Any]:
    """What plugins with such a capability are told (conventions of the CNI)."""
    found: dict[str, Any] = {
        "portMappings": [
            {"hostPort": port.host_port, "containerPort": port.port, "protocol": port.protocol}
            | ({"hostIP": port.host_ip} if port.host_ip else {})
            for port in published
        ],
        "ips": [address for address in (attachment.ip, attachment.ip6) if address],
        "mac": attachment.mac,
        "aliases": {parse(network.cni)["name"]: list(attachment.aliases)} if attachment.aliases else {},
    }
    return {name: value for name, value in found.items() if value}


def _described(endpoint: Endpoint, result: dict[str, Any]) -> Endpoint:
    """The endpoint with the addresses of the result; ``gateways`` where plugins have led a default route by them."""
    try:
        found = [each for each in result.get("ips") or () if "/" in each["address"]]
        leads = {":" in route["dst"] for route in result.get("routes") or () if route["dst"].endswith("/0")}
        addresses = tuple(each["address"] for each in found)
        gateways = tuple(each["gateway"] for each in found if each.get("gateway") and (":" in each["address"]) in leads)
        inner = [each for each in result.get("interfaces") or () if each.get("sandbox") and each.get("mac")]
        mac = next((each["mac"] for each in inner if each.get("name") == endpoint.interface), endpoint.mac)
        return endpoint.replace(addresses=addresses, gateways=gateways, mac=mac)
    except (AttributeError, KeyError, TypeError) as error:
        raise FailedPrecondition("the result of the CNI plugins is not as the specification has it") from error


def _path(inside: Inside) -> str:
    kind, number = inside.namespace
    return f"/proc/{number}/ns/net" if kind == OF_PROCESS else f"/proc/{os.getpid()}/fd/{number}"


def _call(asked: Plugged, namespace: str) -> plugins.Call:
    return plugins.Call(asked.container, asked.interface, namespace, asked.plugins, parse(asked.wishes))


def _take_back(path: str, asked: Plugged, namespace: str) -> None:
    """One at a time: a container's keeper and whoever removes it come at once."""
    held = _hold(path)
    if held < 0:
        return
    try:
        result = parse(asked.result) if asked.result else None
        if result is None:  # who asked for it may have been killed, and the plugin not
            plugins.end_strays(asked.container)
        try:
            plugins.delete(parse(asked.configuration), _call(asked, namespace), result)
        except Unavailable:
            write(path, asked.replace(hung=int(time.time())))
            raise
        os.unlink(path)
    finally:
        os.close(held)


def _hold(path: str) -> int:
    """A descriptor that locks the record until it is closed; -1 when somebody else has taken all back."""
    while True:
        try:
            held = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return -1
        flock(held, LOCK_EX)
        if _is_at(path, held):
            return held
        os.close(held)


def _is_at(path: str, held: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(held))
    except FileNotFoundError:
        return False


def _keep(places: Places, asked: Plugged) -> str:
    directory = places.plugged
    try:
        os.makedirs(directory, 0o700, exist_ok=True)
    except OSError as error:
        raise from_oserror(error, directory) from error
    path = f"{directory}/{asked.container},{asked.interface}"
    write(path, asked)
    return path


def _all(places: Places, wanted: Callable[[str], bool]) -> list[tuple[str, Plugged]]:
    directory = places.plugged
    try:
        names = [name for name in sorted(os.listdir(directory)) if name[0] != "." and wanted(name)]
    except FileNotFoundError:
        return []
    found = [(f"{directory}/{name}", read(Plugged, f"{directory}/{name}")) for name in names]
    return [(path, asked) for path, asked in found if asked is not None]  # type: ignore[misc]

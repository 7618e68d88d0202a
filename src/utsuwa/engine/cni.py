"""Networks of the driver ``cni``: a list of plugins of others, kept as it was when it was given."""

from __future__ import annotations

import os

from utsuwa.errors import InvalidArgument, NotFound, Unsupported, from_oserror
from utsuwa.linux.host import in_user_namespace
from utsuwa.monitor.records import now
from utsuwa.network.cni import membership, plugins
from utsuwa.network.records import Network
from utsuwa.spec.codec import dumps, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.engine.paths import Paths
    from utsuwa.network.state import Places
    from utsuwa.spec.request import NetworkWish, RunRequest

_SIZE = 1 << 20


def describe(name: str, identifier: str, options: dict[str, str], labels: dict[str, str], attachable: bool) -> Network:
    """The network that options speak of: ``config`` is a file, or the name of a list in /etc/cni/net.d (without it: the
    network's own name); ``plugins`` are directories, with colons between (without it: CNI_PATH, or the usual ones).

    Raises NotFound, InvalidArgument and Unsupported for a configuration that is not there, or is none.
    """
    unknown = options.keys() - {"config", "plugins"}
    if unknown:
        raise Unsupported(f"unsupported: option {min(unknown)} of a CNI network (use config and plugins)")
    if os.geteuid() != 0 or in_user_namespace():
        raise Unsupported("unsupported: CNI networks for ordinary users: their plugins need root of the host")
    config = options.get("config", name)
    found = _read(config) if "/" in config else _look_up(config)
    return Network(
        id=identifier,
        name=name,
        createdAt=now(),
        driver=membership.DRIVER,
        attachable=attachable,
        names=False,
        cni=dumps(found),
        plugins=options.get("plugins") or os.environ.get("CNI_PATH") or plugins.PLUGINS,
        labels=labels,
        options=options,
    )


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb", buffering=0) as file:
            return plugins.read(file.read(_SIZE), path)
    except OSError as error:
        raise from_oserror(error, f"read the CNI configuration {path}") from error


def _look_up(name: str) -> dict[str, Any]:
    """The first list of that name where such lists are kept, in the order of the files' names."""
    try:
        files = sorted(os.listdir(plugins.CONFIGURATIONS))
    except FileNotFoundError:
        files = []
    for file in files:
        if file.endswith((".conflist", ".conf", ".json")):
            try:
                found = _read(f"{plugins.CONFIGURATIONS}/{file}")
            except (InvalidArgument, Unsupported):  # of somebody else's
                continue
            if found["name"] == name:
                return found
    raise NotFound(f"no CNI configuration {name} in {plugins.CONFIGURATIONS}: name a file with -o config=FILE")


def check_wish(network: Network, wish: NetworkWish) -> None:
    """Raise InvalidArgument for what no plugin of the list can be told."""
    able = plugins.capabilities(parse(network.cni))
    asked = (
        ("aliases", "aliases", wish.aliases),
        ("ips", "an address", wish.ip or wish.ip6),
        ("mac", "a mac address", wish.mac),
        ("link-local addresses", "link-local addresses", wish.link_local),
    )
    for capability, what, value in asked:
        if value and capability not in able:
            raise InvalidArgument(
                f"{what} can't be asked for in network {network.name}: no plugin is able of {capability}"
            )


def check_ports(networks: list[Network], request: RunRequest) -> None:
    """Raise InvalidArgument when ports are to be published and no network can do that."""
    if not (request.networking.ports or request.networking.publish_all) or not all(each.cni for each in networks):
        return
    if not any("portMappings" in plugins.capabilities(parse(each.cni)) for each in networks):
        raise InvalidArgument(
            f"ports can't be published in network {networks[0].name}: no plugin is able of portMappings"
        )


def complaints(paths: Paths, places: Places, network: Network) -> dict[str, str]:
    """What plugins have to say against the places of running containers: id -> words, "" for nothing."""
    from utsuwa.engine.metadata import Metadata
    from utsuwa.engine.status import derive

    found, metadata = {}, Metadata(paths)
    for asked in membership.residents(places, network.id):
        try:
            status = derive(paths, metadata.load(asked.container))
        except NotFound:
            continue
        if status.alive:
            found[asked.container] = membership.check(asked, f"/proc/{status.pid}/ns/net")
    return found

"""What is written down of networks.

ROOT/networks/ID.json             a network: Network
ROOT/networks/names/NAME -> ID    who makes the symbolic link has the name
ROOT/containers/ID/network.json   what a container wants of networks whenever it starts: Plugs
RUN/networks/ID/endpoints/CONTAINER   a running container's place in a network: Endpoint
RUN/networks/ID/addresses/ADDRESS -> CONTAINER
RUN/networks/ports/PROTOCOL:PORT:ADDRESS -> CONTAINER
"""

from __future__ import annotations

from utsuwa.spec.record import Record
from utsuwa.spec.request import PublishedPort

PLUGS_FILE = "network.json"


class Pool(Record):
    """A range of addresses: ``subnet`` in CIDR, the ``gateway`` in it, ``range`` ("" for all) to take addresses from,
    and ``reserved`` ones by name.
    """

    subnet: str
    gateway: str
    range: str = ""
    reserved: dict[str, str] = {}


class Network(Record):
    """A network. ``bridge`` is its interface on the host; ``mtu`` bytes. ``internal``: no way out, and none in.

    ``names``: containers find each other by name. ``masquerade``: what leaves has the host's address. ``talk``:
    containers reach each other. ``bind``: address on which ports are published when none is given.
    ``cni``: a list of plugins as text, which are looked for in ``plugins``.
    """

    id: str
    name: str
    createdAt: str
    driver: str = "bridge"
    bridge: str = ""
    pools: tuple[Pool, ...] = ()
    internal: bool = False
    ipv6: bool = False
    attachable: bool = False
    names: bool = True
    masquerade: bool = True
    talk: bool = True
    bind: str = ""
    mtu: int = 1500
    cni: str = ""
    plugins: str = ""
    labels: dict[str, str] = {}
    options: dict[str, str] = {}


class Attachment(Record):
    """A container's wish to be in a network (``network`` is an id): under these names, and with these addresses."""

    network: str
    name: str
    aliases: tuple[str, ...] = ()
    ip: str = ""
    ip6: str = ""
    mac: str = ""
    link_local: tuple[str, ...] = ()
    priority: int = 0


class Plugs(Record):
    """All that a container wants of networks. ``names`` are its own; ``hosts`` holds lines ``NAME:ADDRESS``."""

    attachments: tuple[Attachment, ...] = ()
    names: tuple[str, ...] = ()
    hostname: str = ""
    domainname: str = ""
    ports: tuple[PublishedPort, ...] = ()
    hosts: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()


class Endpoint(Record):
    """A running container's place in a network: ``interface`` inside, ``veth`` on the host, addresses in CIDR.

    ``names``: what others may call it; ``dns``: where its own questions go, if not to the host's servers;
    ``resolver``: it asks ours; ``embedded``: at 127.0.0.11, and not at the network's gateway. ``plugged``: by
    plugins, which set routes and publish ports as well.
    """

    id: str
    container: str
    network: str
    interface: str
    veth: str
    mac: str
    addresses: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    ports: tuple[PublishedPort, ...] = ()
    dns: tuple[str, ...] = ()
    resolver: bool = False
    embedded: bool = False
    priority: int = 0
    plugged: bool = False


class Plugged(Record):
    """What plugins were asked for, until they have taken it back: their list and where they are (as in Network), what
    those with the capability were told, and their result ("" before there was one). ``hung``: when one of them did not
    end, in seconds since 1970.
    """

    container: str
    network: str
    interface: str
    configuration: str
    plugins: str
    wishes: str = "{}"
    result: str = ""
    hung: int = 0

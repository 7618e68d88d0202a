"""Networks in the hands of a program."""

from __future__ import annotations

from utsuwa.engine import connecting, subnets
from utsuwa.engine.networks import PREDEFINED
from utsuwa.library.container import Container
from utsuwa.library.envoy import indoors
from utsuwa.spec.network_flags import parse_network
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from utsuwa.engine import networks
    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.library.services import Services
    from utsuwa.network import records

    List = list  # within the class, list is a method


class Network(Record):
    """A network: its ``subnets`` in CIDR and their ``gateways``, if it is ``internal`` (no way out), its ``labels``."""

    id: str
    name: str
    driver: str
    subnets: tuple[str, ...]
    gateways: tuple[str, ...]
    internal: bool
    labels: dict[str, str]


class Networks:
    """The networks of an engine; ``network="name"`` starts a container in one. Containers find each other by name."""

    def __init__(self, services: Services) -> None:
        """For the library's own use."""
        self.services = services

    @indoors
    def create(
        self,
        name: str,
        *,
        driver: str = "bridge",
        subnet: str | Sequence[str] = (),
        gateway: str | Sequence[str] = (),
        ip_range: str | Sequence[str] = (),
        ipv6: bool = False,
        internal: bool = False,
        labels: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Network:
        """Make a network; the host has nothing of it before a container starts in it. What is left open is chosen.

        Raises Conflict for a taken name or range, InvalidArgument for addresses that make no sense.
        """
        pools = subnets.pools(_several(subnet), _several(gateway), _several(ip_range), ())
        made = self._networks.create(
            name, driver=driver, pools=pools, ipv6=ipv6, internal=internal, labels=labels, options=options
        )
        return _shown(made)

    @indoors
    def get(self, name: str) -> Network:
        """The network of a name, an id, or the beginning of one. Raises NotFound."""
        return _shown(self._networks.find(name))

    @indoors
    def list(self) -> List[Network]:
        """All of them, those that are always there too."""
        return [_shown(network) for network in self._networks.all()]

    @indoors
    def remove(self, name: str) -> None:
        """Remove one. Raises Conflict while a container that runs is in it, NotFound when there is none."""
        self._networks.remove(self._networks.find(name))

    @indoors
    def connect(self, network: str, container: str | Container) -> None:
        """Put a container into one more network, at once if it runs. ``network`` is a name, or, with more to say,
        ``"name=lan,alias=web,ip=10.1.0.7"``.
        """
        wish = parse_network(network)
        connecting.connect(self.services.paths, self._container(container), self._networks.find(wish.network), wish)

    @indoors
    def disconnect(self, network: str, container: str | Container, *, force: bool = False) -> None:
        """Take a container out of a network, at once if it runs. Raises FailedPrecondition when it is not in it."""
        found = self._networks.find(network)
        connecting.disconnect(self.services.paths, self._container(container), found, force=force)

    @indoors
    def prune(self) -> List[str]:
        """Remove those that no container wants, running or not; their names."""
        return self._networks.prune(lambda network: network.name not in PREDEFINED or network.name == "bridge")

    @property
    def _networks(self) -> networks.Networks:
        return self.services.networks

    def _container(self, container: str | Container) -> ContainerRecord:
        return self.services.containers.find(container.id if isinstance(container, Container) else container)


def _several(value: str | Sequence[str]) -> Sequence[str]:
    return (value,) if isinstance(value, str) else value


def _shown(network: records.Network) -> Network:
    return Network(
        id=network.id,
        name=network.name,
        driver=network.driver,
        subnets=tuple(pool.subnet for pool in network.pools),
        gateways=tuple(pool.gateway for pool in network.pools),
        internal=network.internal,
        labels=dict(network.labels),
    )

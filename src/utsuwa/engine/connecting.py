"""Containers and networks: what a container is connected to, live changes of that, and what the killed left."""

from __future__ import annotations

import os
from fcntl import LOCK_NB, LOCK_SH, flock

from utsuwa.engine.networks import MODES, Networks
from utsuwa.engine.status import derive
from utsuwa.errors import Error, FailedPrecondition, InvalidArgument, PermissionDenied
from utsuwa.monitor.ending import leave_networks
from utsuwa.monitor.records import is_locked
from utsuwa.network import leases, plug
from utsuwa.network.records import Attachment, Plugs
from utsuwa.network.state import Places
from utsuwa.spec.request import NetworkWish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.engine.metadata import ContainerRecord, Metadata
    from utsuwa.engine.paths import Paths
    from utsuwa.engine.status import Status
    from utsuwa.network.records import Endpoint, Network
    from utsuwa.spec.image import Settings
    from utsuwa.spec.request import NetworkSettings, PublishedPort, RunRequest

_OTHER = "container:"


def has_own(mode: str) -> bool:
    """A container of this network mode has places in networks, or may have."""
    return mode not in MODES and not mode.startswith(_OTHER)


def settle(paths: Paths, request: RunRequest, find: Callable[[str], ContainerRecord]) -> RunRequest:
    """The request with its networks decided: names that exist, ids of containers. Raises NotFound, InvalidArgument."""
    networks = Networks(paths)
    mode = networks.default() if request.network == "default" else request.network
    wishes = request.networks
    if request.network == "default" and wishes:
        wishes = tuple(wish.replace(network=mode) if wish.network == "default" else wish for wish in wishes)
    if mode.startswith(_OTHER):
        mode = f"{_OTHER}{find(mode.removeprefix(_OTHER)).id}"
    if not has_own(mode):
        _check_alone(request, mode, wishes)
        return request.replace(network=mode, networks=())
    wishes = wishes or (NetworkWish(network=mode),)
    found: list[NetworkWish] = []
    plugs: list[Network] = []
    for wish in wishes:
        network = networks.find(wish.network)
        _check_wish(network, wish)
        if any(network.name == other.network for other in found):
            raise InvalidArgument(f"network {network.name} is given more than once")
        found.append(wish.replace(network=network.name))
        if network.cni:
            plugs.append(network)
    if plugs and len(plugs) == len(found):
        from utsuwa.engine.cni import check_ports

        check_ports(plugs, request)
    return request.replace(network=found[0].network, networks=tuple(found))


def _check_alone(request: RunRequest, mode: str, wishes: tuple[NetworkWish, ...]) -> None:
    """Without networks of its own a container has no use for what is said about them."""
    kind = "container type" if mode.startswith(_OTHER) else mode
    if len(wishes) > 1:
        raise InvalidArgument(f"conflicting options: the {kind} network mode does not go together with other networks")
    for wish in wishes:
        if wish != NetworkWish(network=wish.network):
            raise InvalidArgument(f"conflicting options: addresses and aliases, and the {kind} network mode")
    if request.networking.ports:
        raise InvalidArgument(f"conflicting options: port publishing and the {kind} network mode")
    if mode.startswith(_OTHER):
        if request.hostname:
            raise InvalidArgument("conflicting options: hostname and the network mode")
        asked = request.networking
        if asked.dns or asked.dns_search or asked.dns_options or asked.hosts:
            raise InvalidArgument("conflicting options: dns, custom host-to-IP mapping, and the network mode")


def _check_wish(network: Network, wish: NetworkWish) -> None:
    if network.cni:
        from utsuwa.engine.cni import check_wish

        check_wish(network, wish)
        return
    if network.driver != "bridge":
        raise InvalidArgument(
            f"conflicting options: the {network.name} network does not go together with other networks"
        )
    if wish.aliases and not network.names:
        raise InvalidArgument("network-scoped alias is supported only for containers in user defined networks")
    if (wish.ip or wish.ip6) and not network.names:
        raise InvalidArgument("user specified IP address is supported on user defined networks only")
    leases.check(network, (wish.ip, wish.ip6))


def prepare(paths: Paths, identifier: str, name: str, hostname: str, request: RunRequest, settings: Settings) -> None:
    """Write down what a container wants of its networks, if it has any."""
    if not has_own(request.network):
        return
    networks = Networks(paths)
    asked = request.networking
    plugs = Plugs(
        attachments=tuple(_attachment(networks.find(wish.network), wish) for wish in request.networks),
        names=(name,),
        hostname=hostname,
        domainname=(request.seldom.domainname if request.seldom else None) or "",
        ports=_ports(asked, settings),
        hosts=asked.hosts,
        dns=asked.dns,
        dns_search=asked.dns_search,
        dns_options=asked.dns_options,
    )
    networks.places.keep_plugs(identifier, plugs)


def _attachment(network: Network, wish: NetworkWish) -> Attachment:
    return Attachment(
        network=network.id,
        name=network.name,
        aliases=wish.aliases,
        ip=wish.ip,
        ip6=wish.ip6,
        mac=wish.mac,
        link_local=wish.link_local,
        priority=wish.priority,
    )


def _ports(asked: NetworkSettings, settings: Settings) -> tuple[PublishedPort, ...]:
    """Those that were published, and with ``publish_all`` those that are exposed."""
    from utsuwa.spec.request import PublishedPort

    found = list(asked.ports)
    if asked.publish_all:
        for exposed in exposed_ports(asked, settings):
            port, _, protocol = exposed.partition("/")
            if not any((each.port, each.protocol) == (int(port), protocol) for each in found):
                found.append(PublishedPort(port=int(port), protocol=protocol))
    return tuple(found)


def exposed_ports(asked: NetworkSettings, settings: Settings) -> tuple[str, ...]:
    """``80/tcp`` for all that the request or the image exposes; what an image has there that is no port is left out."""
    if not settings.ExposedPorts:
        return asked.expose
    from utsuwa.spec.network_flags import parse_expose

    found = list(asked.expose)
    for text in sorted(settings.ExposedPorts):
        try:
            found += parse_expose(text)
        except InvalidArgument:
            continue
    return tuple(dict.fromkeys(found))


# --- live -------------------------------------------------------------------------------------------------------------


def connect(paths: Paths, record: ContainerRecord, network: Network, wish: NetworkWish) -> None:
    """Put a container into one more network, at once if it runs. Raises Conflict when it is there already."""
    if network.name in MODES:
        raise PermissionDenied(f"container cannot be connected to {network.name} network")
    if not has_own(record.networkMode):
        mode = record.networkMode.partition(":")[0]
        raise PermissionDenied(
            "container cannot be connected to multiple networks with one of the networks in "
            f"{'private (none)' if mode == 'none' else mode} mode"
        )
    _check_wish(network, wish)
    places = Places(paths.root, paths.run)
    lock = places.lock("connecting")
    try:
        plugs = places.plugs(record.id) or Plugs(names=(record.name,))
        if any(each.network == network.id for each in plugs.attachments):
            raise PermissionDenied(f"endpoint with name {record.name} already exists in network {network.name}")
        attachment = _attachment(network, wish)
        wanted = plugs.replace(attachments=(*plugs.attachments, attachment))
        status = derive(paths, record)
        if status.alive:
            _connect_running(places, record, status, wanted, attachment)
        places.keep_plugs(record.id, wanted)
        if status.alive and not derive(paths, record).alive:  # its monitor may have looked before we were there
            leave_networks(places, record.id)
    finally:
        os.close(lock)
    _note(paths, record, network, "connect")


def _connect_running(
    places: Places, record: ContainerRecord, status: Status, plugs: Plugs, attachment: Attachment
) -> None:
    endpoints = places.of(record.id)
    number = next(n for n in range(len(endpoints) + 1) if all(each.interface != f"eth{n}" for each in endpoints))
    try:
        with _inside(record, status) as inside:
            own = plug.unpublished(plugs, endpoints)
            endpoints.append(plug.join(places, record.id, own, attachment, inside, f"eth{number}"))
            plug.set_default_routes(inside.route, endpoints)
            if not any(endpoint.ports for endpoint in endpoints):
                plug.publish(places, plugs, endpoints)
            plug.tell(places, record.id, plugs, endpoints, inside, anew=True)
        plug.open_gate(places)
    except BaseException:
        _give_up(places, record.id, attachment.network, _namespace(status))
        raise


def disconnect(paths: Paths, record: ContainerRecord, network: Network, *, force: bool = False) -> None:
    """Take a container out of a network, at once if it runs. Raises FailedPrecondition when it is not in it."""
    if network.name in MODES:
        raise PermissionDenied(f"container cannot be disconnected from {network.name} network")
    places = Places(paths.root, paths.run)
    lock = places.lock("connecting")
    try:
        plugs = places.plugs(record.id)
        kept = tuple(each for each in plugs.attachments if each.network != network.id) if plugs else ()
        unknown = plugs is None or len(kept) == len(plugs.attachments)
        if unknown and not (force and places.find(network.id, record.id)):
            raise FailedPrecondition(f"container {record.id} is not connected to network {network.name}")
        if plugs is not None:
            plugs = plugs.replace(attachments=kept)
            places.keep_plugs(record.id, plugs)
        status = derive(paths, record)
        ports_went = _give_up(places, record.id, network.id, _namespace(status))
        status = derive(paths, record)
        if status.alive and plugs is not None:
            endpoints = places.of(record.id)
            with _inside(record, status) as inside:
                plug.set_default_routes(inside.route, endpoints)
                if ports_went:
                    plug.publish(places, plugs, endpoints)
                plug.tell(places, record.id, plugs, endpoints, inside, anew=True)
            plug.open_gate(places)
    finally:
        os.close(lock)
    _note(paths, record, network, "disconnect")


def _namespace(status: Status) -> str:
    """The path of a container's network namespace, "" when it has none."""
    return f"/proc/{status.pid}/ns/net" if status.alive else ""


def _give_up(places: Places, container: str, network: str, namespace: str) -> bool:
    """Remove a place and its interfaces; whether ports of the host led there."""
    endpoint = places.find(network, container)
    if endpoint is None:
        return False
    if endpoint.plugged:
        from utsuwa.network.cni import membership

        membership.leave(places, container, network, namespace)
    else:
        plug.unplug(places, [endpoint.veth])
    plug.give_up(places, endpoint)
    plug.tell_of(places, [endpoint])
    return bool(endpoint.ports)


def _inside(record: ContainerRecord, status: Status) -> plug.Inside:
    """The network namespace of a running container; checked to be still its own once we hold it."""
    from utsuwa.init.reach import netlink_sockets
    from utsuwa.linux.rtnetlink import OF_DESCRIPTOR
    from utsuwa.runtime.process import start_time

    try:
        namespace = os.open(f"/proc/{status.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        raise FailedPrecondition("the container has just ended") from None
    if start_time(status.pid) != status.start_time:
        os.close(namespace)
        raise FailedPrecondition("the container has just ended")
    sockets = netlink_sockets(f"/proc/{os.getpid()}/fd/{namespace}")
    return _Held((OF_DESCRIPTOR, namespace), sockets, record.runtimeCommand)


class _Held(plug.Inside):
    """It closes the namespace's descriptor as well."""

    __slots__ = ()

    def __exit__(self, *problem: object) -> None:
        os.close(self.namespace[1])
        super().__exit__(*problem)


def renamed(paths: Paths, identifier: str, old: str, new: str) -> None:
    """A container has another name: so it is called in its networks, too, from now on."""
    places = Places(paths.root, paths.run)
    plugs = places.plugs(identifier)
    if plugs is None:
        return

    def changed(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new if name == old else name for name in names)

    lock = places.lock("connecting")
    try:
        places.keep_plugs(identifier, plugs.replace(names=changed(plugs.names)))
        for endpoint in places.of(identifier):
            from utsuwa.network.state import write

            write(places.endpoint(endpoint.network, identifier), endpoint.replace(names=changed(endpoint.names)))
    finally:
        os.close(lock)


# --- recovery ---------------------------------------------------------------------------------------------------------


def recover(paths: Paths, metadata: Metadata) -> None:
    """Free what belongs to containers that are no more, or run no more, and to connections that never became any. Who
    still has a place gets its way out and in again, should that have been killed.
    """
    places = Places(paths.root, paths.run)
    for network in places.active():
        for endpoint in list(places.endpoints(network)):
            if _has_ended(paths, metadata, endpoint.container):
                leave_networks(places, endpoint.container)
            else:
                _drop_unwanted(paths, metadata, endpoint)
    if os.path.isdir(places.plugged):
        _take_back(paths, metadata, places)
    if any(True for network in places.active() for _ in places.endpoints(network)):
        try:
            plug.open_gate(places)
        except Error:  # whoever starts a container is told
            return


def _take_back(paths: Paths, metadata: Metadata, places: Places) -> None:
    """Have plugins take back what they were asked for by containers that are gone, or run no more since a reboot."""
    from utsuwa.network.cni import membership

    for asked in membership.residents(places):
        if not membership.hung_lately(asked) and _has_ended(paths, metadata, asked.container):
            leave_networks(places, asked.container)


def _has_ended(paths: Paths, metadata: Metadata, container: str) -> bool:
    """It runs no more, if there is one, and nobody is about to start or end it."""
    if is_locked(paths.monitor(container)) or _is_being_built(paths, container):
        return False
    try:
        return not derive(paths, metadata.load(container)).alive
    except Error:
        return True


def _is_being_built(paths: Paths, container: str) -> bool:
    """It belongs to a build that goes on."""
    workshop = container.rpartition("-")[0]
    if not workshop:
        return False
    try:
        fd = os.open(f"{paths.workshops}/{workshop}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        flock(fd, LOCK_SH | LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(fd)


def _drop_unwanted(paths: Paths, metadata: Metadata, endpoint: Endpoint) -> None:
    """A place that its container does not want: somebody was killed while connecting, or disconnecting."""
    places = Places(paths.root, paths.run)
    if _wants(places, endpoint):
        return
    lock = places.lock("connecting")
    try:
        if not _wants(places, endpoint):
            status = derive(paths, metadata.load(endpoint.container))
            _give_up(places, endpoint.container, endpoint.network, _namespace(status))
    except Error:  # it has just been removed; or a plugin fails, and is asked again
        return
    finally:
        os.close(lock)


def _wants(places: Places, endpoint: Endpoint) -> bool:
    try:
        plugs = places.plugs(endpoint.container)
    except Error:
        return True
    return plugs is None or any(each.network == endpoint.network for each in plugs.attachments)


def _note(paths: Paths, record: ContainerRecord, network: Network, action: str) -> None:
    from utsuwa.monitor import journal

    attributes = {"container": record.id, "name": network.name, "type": network.driver}
    journal.emit(paths.run, "network", action, network.id, attributes)

"""Networks: made, found, looked at, removed. What containers have to do with them is in ``connecting.py``."""

from __future__ import annotations

import os

from utsuwa.engine import subnets
from utsuwa.errors import Conflict, InvalidArgument, NotFound, PermissionDenied, Unsupported
from utsuwa.identifiers import new_engine_id
from utsuwa.monitor import journal
from utsuwa.monitor.records import now
from utsuwa.network import firewall, ground, sweeping, uplink
from utsuwa.network.records import Network
from utsuwa.network.state import Places, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from utsuwa.engine.paths import Paths
    from utsuwa.network.records import Pool

PREDEFINED = {"bridge": "bridge", "host": "host", "none": "null"}
"""Networks that are always there, and their drivers."""
MODES = ("host", "none")
"""Those of them that are no place to be connected to."""

_DEFAULT_BRIDGE = "utsuwa0"
_OPTION = "com.docker.network.bridge."
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_MTU = "com.docker.network.driver.mtu"


class Networks:
    """The networks below the paths; safe to use from several processes at once."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self.places = Places(paths.root, paths.run)

    # --- make -------------------------------------------------------------------------------------------------------

    def create(
        self,
        name: str,
        *,
        driver: str = "bridge",
        pools: tuple[Pool, ...] = (),
        ipv6: bool = False,
        internal: bool = False,
        attachable: bool = False,
        labels: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Network:
        """Make a network; nothing of it is on the host until a container is started in it.

        ``pools``: what is left open in them is chosen. Raises Conflict for a taken name or range of addresses.
        """
        if driver in ("host", "null"):
            raise PermissionDenied(f'only one instance of "{driver}" network is allowed')
        if driver not in ("bridge", "cni"):
            raise Unsupported(f"unsupported: network driver {driver} (use bridge or cni)")
        if name in (*PREDEFINED, "default") or name.startswith("container:"):
            raise PermissionDenied(f"operation is not permitted on predefined {name} network")
        if driver == "cni":
            if pools or ipv6 or internal:
                raise Unsupported("unsupported: addresses, --ipv6 and --internal for CNI: its configuration has them")
            made = self._plugged(name, dict(options or {}), dict(labels or {}), attachable)
        else:
            if not self.problem():
                self.predefined("bridge")  # which has the first of the ranges, as with Docker
            made = self._make(
                name, _check_name(name), pools, ipv6, internal, attachable, dict(labels or {}), dict(options or {})
            )
        self._note(made, "create")
        return made

    def _plugged(self, name: str, options: dict[str, str], labels: dict[str, str], attachable: bool) -> Network:
        from utsuwa.engine.cni import describe

        network = describe(name, _check_name(name), options, labels, attachable)
        lock = self.places.lock("making")
        try:
            return self._keep(network)
        finally:
            os.close(lock)

    def predefined(self, name: str) -> Network:
        """One of the networks that are always there; it is written down when it is first asked for."""
        found = self._named(name)
        if found:
            return found
        identifier = new_engine_id()
        try:
            if name == "bridge":
                first = _DEFAULT_BRIDGE if self._is_main() else f"ut-{identifier[:12]}"
                return self._make(name, identifier, (), False, False, False, {}, {f"{_OPTION}name": first}, names=False)
            lock = self.places.lock("making")
            try:
                return self._keep(
                    Network(id=identifier, name=name, createdAt=now(), driver=PREDEFINED[name], names=False)
                )
            finally:
                os.close(lock)
        except Conflict:
            found = self._named(name)  # somebody was faster
            if not found:
                raise
            return found

    def _is_main(self) -> bool:
        """This is the engine of the host, not one that lives in a directory of its own."""
        from utsuwa.engine.paths import ROOT

        return self._paths.root == ROOT

    def _make(
        self,
        name: str,
        identifier: str,
        pools: tuple[Pool, ...],
        ipv6: bool,
        internal: bool,
        attachable: bool,
        labels: dict[str, str],
        options: dict[str, str],
        names: bool = True,
    ) -> Network:
        settings = _settings(identifier, options)
        lock = self.places.lock("making")
        try:
            network = Network(
                id=identifier,
                name=name,
                createdAt=now(),
                pools=subnets.complete(self.places, identifier, pools, ipv6),
                internal=internal,
                ipv6=ipv6,
                attachable=attachable,
                names=names,
                labels=labels,
                options={} if not names else options,
                **settings,  # type: ignore[arg-type]
            )
            return self._keep(network)
        finally:
            os.close(lock)

    def _keep(self, network: Network) -> Network:
        """The name first: who has it may write the record. A name that leads nowhere was left by a killed maker."""
        names = f"{self.places.root}/names"
        os.makedirs(names, 0o700, exist_ok=True)
        link = f"{names}/{network.name}"
        for _ in range(2):
            try:
                os.symlink(network.id, link)
                break
            except FileExistsError:
                if self._named(network.name):
                    raise Conflict(f"network with name {network.name} already exists") from None
                os.unlink(link)
        write(f"{self.places.root}/{network.id}.json", network)
        return network

    # --- find -------------------------------------------------------------------------------------------------------

    def find(self, reference: str) -> Network:
        """The network of an id, a name, or a unique beginning of an id, in this order. Raises NotFound."""
        if reference in PREDEFINED:
            return self.predefined(reference)
        found = self._named(reference)
        if found:
            return found
        matches = [network for network in self.places.networks() if reference and network.id.startswith(reference)]
        if len(matches) > 1 and matches[0].id != reference:
            raise Conflict(f"network {reference} is ambiguous ({len(matches)} matches found based on ID prefix)")
        if not matches:
            raise NotFound(f"network {reference} not found")
        return matches[0]

    def all(self) -> list[Network]:
        """All, those that are always there included."""
        sweeping.sweep(self.places)
        for name in PREDEFINED:
            if name != "bridge" or self.problem() == "":
                self.predefined(name)
        return self.places.networks()

    def _named(self, name: str) -> Network | None:
        try:
            return self.places.network(os.readlink(f"{self.places.root}/names/{name}"))
        except (OSError, NotFound, ValueError):
            return None

    # --- what a container gets without being asked -------------------------------------------------------------------

    def default(self) -> str:
        """The network of containers that name none: what UTSUWA_NETWORK says, or the bridge where there can be one."""
        return os.environ.get("UTSUWA_NETWORK", "") or ("none" if self.problem() else "bridge")

    def problem(self) -> str:
        """Why this host can't have bridges, "" when it can."""
        if ground.is_own() and uplink.problem():
            return uplink.problem()
        if not firewall.program():
            return "nft is missing, install the package nftables"
        return ""

    # --- remove -----------------------------------------------------------------------------------------------------

    def remove(self, network: Network) -> None:
        """Remove a network that no container is in. Raises Conflict for one that has some."""
        if network.name in PREDEFINED:
            raise PermissionDenied(f"{network.name} is a pre-defined network and cannot be removed")
        from utsuwa.network import bridge

        lock = self.places.lock(network.id)
        try:
            users = [endpoint.container for endpoint in self.places.endpoints(network.id)]
            if users:
                raise Conflict(
                    f"error while removing network: network {network.name} has active endpoints ({_shown(users)})"
                )
            if network.cni:
                from utsuwa.network.cni import membership

                for asked in membership.residents(self.places, network.id):  # whom nobody has cleaned up after
                    membership.leave(self.places, asked.container, network.id)
            else:
                bridge.remove(self.places, network)
            self._forget(network)
        finally:
            os.close(lock)
        self._note(network, "destroy")

    def _note(self, network: Network, action: str) -> None:
        journal.emit(self._paths.run, "network", action, network.id, {"name": network.name, "type": network.driver})

    def _forget(self, network: Network) -> None:
        """Its files; what is left behind the first, should we be killed, is nobody's (:mod:`sweeping`)."""
        try:
            os.unlink(f"{self.places.root}/{network.id}.json")
        except FileNotFoundError:
            pass
        sweeping.clear(f"{self.places.run}/{network.id}")
        try:
            if os.readlink(f"{self.places.root}/names/{network.name}") == network.id:
                os.unlink(f"{self.places.root}/names/{network.name}")
        except FileNotFoundError:
            return

    def prune(self, wanted: Callable[[Network], bool]) -> list[str]:
        """Remove networks that no container wants, running or not; their names.

        The bridge of the default one goes, too, while nobody uses it.
        """
        from utsuwa.network import bridge

        sweeping.sweep(self.places)
        used = self.wanted()
        removed = []
        for network in self.places.networks():
            if network.id in used or network.name in MODES or not wanted(network):
                continue
            if network.name in PREDEFINED:
                bridge.remove(self.places, network)
                continue
            try:
                self.remove(network)
                removed.append(network.name)
            except Conflict:
                continue
        journal.note_pruned(self._paths.run, "network", 0)
        return removed

    def wanted(self) -> set[str]:
        """The ids of networks that some container wants to be in, running or not."""
        found: set[str] = set()
        try:
            containers = os.listdir(self._paths.containers)
        except FileNotFoundError:
            containers = []
        for container in containers:
            plugs = self.places.plugs(container)
            found |= {attachment.network for attachment in plugs.attachments} if plugs else set()
        return found


def _check_name(name: str) -> str:
    """An id for a network that can have this name. Raises InvalidArgument."""
    if not name.strip() or name != name.strip() or "/" in name or not name.isprintable() or len(name) > 128:
        raise InvalidArgument(f"invalid network name {name[:64]!r}: 1 to 128 printable characters other than /")
    if name in (".", ".."):
        raise InvalidArgument(f"invalid network name {name!r}")
    return new_engine_id()


def _settings(identifier: str, options: dict[str, str]) -> dict[str, object]:
    """What driver options say. Raises Unsupported for one that we don't know."""
    found: dict[str, object] = {"bridge": f"ut-{identifier[:12]}"}
    for key, value in options.items():
        known = key.removeprefix(_OPTION)
        if key == _MTU or key == "mtu":
            if not value.isdigit() or not 68 <= int(value) <= 65535:
                raise InvalidArgument(f"invalid network MTU: {value}")
            found["mtu"] = int(value)
        elif known == "name":
            if not 0 < len(value) <= 15 or not value.isascii() or not value.isprintable() or set(value) & set(' /:"\\'):
                raise InvalidArgument(f"invalid interface name {value!r}")
            found["bridge"] = value
        elif known in ("enable_icc", "enable_ip_masquerade"):
            if value.lower() not in _BOOLEANS:
                raise InvalidArgument(f"{key}: expected true or false, found {value!r}")
            found["talk" if known == "enable_icc" else "masquerade"] = _BOOLEANS[value.lower()]
        elif known == "host_binding_ipv4":
            from utsuwa.network.addresses import canonical

            found["bind"] = canonical(value)
        else:
            raise Unsupported(f"unsupported: network option {key}")
    return found


def _shown(users: list[str]) -> str:
    return ", ".join(user[:12] for user in users)

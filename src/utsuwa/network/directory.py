"""Who is called what in which network, read from the places that are taken, again whenever these change."""

from __future__ import annotations

import os
import time
from _socket import AF_INET, AF_INET6, inet_pton

from utsuwa.errors import Error
from utsuwa.network import dns
from utsuwa.network.embedded import PORT as EMBEDDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.network.records import Endpoint, Network, Pool
    from utsuwa.network.state import Places

_TICK = 50_000_000
"""Nanoseconds in which a directory may change again without its time of change telling."""


def _port(endpoint: Endpoint) -> int:
    return EMBEDDED if endpoint.embedded else dns.PORT


def _is_4(pool: Pool) -> bool:
    return ":" not in pool.gateway


class _Names:
    """The names of one network, as they were read."""

    def __init__(self, network: Network, endpoints: list[Endpoint]) -> None:
        self.network = network
        self.addresses: dict[str, list[str]] = {}
        self.names: dict[str, str] = {}
        self.residents: dict[str, Endpoint] = {}
        for endpoint in endpoints:
            bare = [address.partition("/")[0] for address in endpoint.addresses]
            for address in bare:
                self.residents[address] = endpoint
                self.names[address] = f"{endpoint.names[0]}.{network.name}" if endpoint.names else ""
            for name in endpoint.names:
                for form in (name.lower(), f"{name}.{network.name}".lower()):
                    self.addresses.setdefault(form, []).extend(bare)


class Directory:
    """All networks that have running containers."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._read: dict[str, tuple[int, _Names]] = {}

    def refresh(self) -> None:
        """Read what has changed."""
        active = self._places.active()
        for gone in self._read.keys() - set(active):
            del self._read[gone]
        for identifier in active:
            try:
                changed = os.stat(f"{self._places.run}/{identifier}/endpoints").st_mtime_ns
                if identifier in self._read and self._read[identifier][0] == changed:
                    continue
                network = self._places.network(identifier)
                names = _Names(network, list(self._places.endpoints(identifier)))
            except (Error, OSError):
                self._read.pop(identifier, None)
                continue
            self._read[identifier] = (changed if time.time_ns() - changed > _TICK else 0, names)

    def listeners(self) -> set[tuple[str, int]]:
        """Where somebody asks us: the host's addresses in networks, and ports."""
        found = set()
        for _, names in self._read.values():
            for port in {_port(endpoint) for endpoint in names.residents.values() if endpoint.resolver}:
                found |= {(pool.gateway, port) for pool in names.network.pools if port == dns.PORT or _is_4(pool)}
        return found

    def answer(self, source: str, question: dns.Question, room: int) -> bytes | None:
        """The reply to what ``source`` asks, None where somebody else has to be asked."""
        known = self._visible_to(source)
        if question.kind == dns.PTR:
            name = self._name_of(dns.reversed_address(question.name), known)
            return question.answer(dns.NO_ERROR, [(dns.PTR, dns.wire_name(name))], room) if name else None
        found = [address for names in known for address in names.addresses.get(question.name, ())]
        if not found:
            return None
        kinds = {4: dns.A, 16: dns.AAAA}
        packed = [inet_pton(AF_INET6 if ":" in address else AF_INET, address) for address in dict.fromkeys(found)]
        records = [(kinds[len(data)], data) for data in packed if question.kind in (kinds[len(data)], dns.ANY)]
        return question.answer(dns.NO_ERROR, records, room)

    def upstream(self, source: str, gateway: str) -> list[str] | None:
        """The servers that a container wants to be asked, [] for the host's; None: nobody outside is to be reached.

        That is for the network to say in which the question came: who has a place in another one, too, asks there.
        """
        here = self._at(gateway)
        if here is None or here.network.internal or source not in here.residents:
            return None
        return list(here.residents[source].dns)

    def admits(self, source: str, gateway: str) -> bool:
        """``source`` has a place in the network where it asks. An address that nobody was given, or that somebody has
        elsewhere, is feigned, or a neighbour's of the host.
        """
        here = self._at(gateway)
        return here is not None and source in here.residents

    def _at(self, gateway: str) -> _Names | None:
        every = (names for _, names in self._read.values())
        return next((names for names in every if any(pool.gateway == gateway for pool in names.network.pools)), None)

    def _visible_to(self, source: str) -> list[_Names]:
        """The networks of the container that has this address; its own first."""
        every = [names for _, names in self._read.values()]
        own = next((names for names in every if source in names.residents), None)
        if own is None:
            return []
        container = own.residents[source].container
        others = [names for names in every if names is not own and self._is_in(container, names)]
        return [names for names in (own, *others) if names.network.names]

    @staticmethod
    def _is_in(container: str, names: _Names) -> bool:
        return any(endpoint.container == container for endpoint in names.residents.values())

    @staticmethod
    def _name_of(address: str, known: list[_Names]) -> str:
        return next((names.names[address] for names in known if address in names.names), "")

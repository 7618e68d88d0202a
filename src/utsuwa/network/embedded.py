"""127.0.0.11, where programs expect the names of containers: led to our resolver from inside a container's namespace.

A route of the container's table ``local`` takes that one address out of the loopback network, and two pairs of rules
there rewrite the headers of what goes that way and of what comes back. No connection is tracked for it, nothing of the
host's is needed but the resolver's socket, and should the container flush its rules, only its names are gone.
"""

from __future__ import annotations

from _socket import AF_INET, inet_pton
from errno import EOPNOTSUPP

from utsuwa.errors import from_oserror
from utsuwa.linux import nftables, rtnetlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.network.plug import Inside
    from utsuwa.network.records import Endpoint

ADDRESS = "127.0.0.11"
PORT = 1253
"""Where our resolver answers what came from there: nothing else that a host does is at a port of this number, and a
server on the host's port 53 is not in the way."""

_ASKED = (53).to_bytes(2, "big")
_ANSWERED = PORT.to_bytes(2, "big")
_TABLE = "utsuwa"
_SOURCE, _DESTINATION, _SUM = 12, 16, 10
_GATEWAY = b"\xff\xfe\xfd\xfc"
"""Stands for a network's gateway in what is made ready."""
_PROTOCOLS = ((17, 6), (6, 16))
"""UDP and TCP, and where their checksums are."""


def lead(inside: Inside, endpoint: Endpoint, gateway: str, anew: bool) -> None:
    """Lead questions by way of an endpoint to the resolver at ``gateway``; ``anew``: they may have gone elsewhere."""
    try:
        link = inside.route.link(endpoint.interface)
        if link is None:
            raise OSError(EOPNOTSUPP, "the interface is gone")
        source = next(address for address in endpoint.addresses if ":" not in address).partition("/")[0]
        inside.route.do(rtnetlink.add_local_detour(link.index, ADDRESS, gateway, source))
        where = inet_pton(AF_INET, gateway)
        before = _AWAY if anew else []
        nftables.carry_out(inside.filter, before + [message.replace(_GATEWAY, where) for message in _RULES])
    except OSError as error:
        raise from_oserror(error, f"lead {ADDRESS} to the resolver") from error


def _rules() -> list[bytes]:
    here = inet_pton(AF_INET, ADDRESS)
    found = [nftables.new_table(_TABLE, nftables.IPV4)]
    for chain, hook, address, old, new in (
        ("out", nftables.OUTPUT, _DESTINATION, (here, _ASKED), (_GATEWAY, _ANSWERED)),
        ("in", nftables.INPUT, _SOURCE, (_GATEWAY, _ANSWERED), (here, _ASKED)),
    ):
        found.append(nftables.new_chain(_TABLE, nftables.IPV4, chain, hook))
        port = 2 if chain == "out" else 0
        for protocol, checksum in _PROTOCOLS:
            expressions = [
                nftables.equals(nftables.NETWORK, address, old[0]),
                nftables.is_protocol(protocol),
                nftables.equals(nftables.TRANSPORT, port, old[1]),
                nftables.rewrite(nftables.NETWORK, address, new[0], _SUM, is_address=True),
                nftables.rewrite(nftables.TRANSPORT, port, new[1], checksum, is_address=False),
            ]
            found.append(nftables.new_rule(_TABLE, nftables.IPV4, chain, expressions))
    return found


_RULES = _rules()
"""Made when the forkserver begins: for each container it would take as long as the kernel takes."""
_AWAY = [nftables.new_table(_TABLE, nftables.IPV4), nftables.delete_table(_TABLE, nftables.IPV4)]

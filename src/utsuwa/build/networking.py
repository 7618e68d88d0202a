"""The network of a RUN: the default bridge as ``utsuwa run`` has it, the host's where it is asked for, or none.

A place in a network bears the name of the RUN's container, and that the name of the build's directory: who clears up
after a build that was killed finds it by that.
"""

from __future__ import annotations

import os

from utsuwa.engine.networks import Networks
from utsuwa.errors import InvalidArgument
from utsuwa.monitor.ending import leave_networks
from utsuwa.network.records import Attachment, Plugs
from utsuwa.network.state import Places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.build.instructions import Command
    from utsuwa.build.request import BuildRequest
    from utsuwa.engine.paths import Paths

ALONE = ("host", "none")
"""What is no network to be connected to."""


def network_of(command: Command, request: BuildRequest, paths: Paths) -> str:
    """The network of a RUN: ``host``, ``none``, or a bridge's name.

    Without a word it is what ``utsuwa run`` would take, but the host's where there can be no bridge: packages could not
    be fetched without one. Raises InvalidArgument for the host's where nobody has allowed that.
    """
    if command.network == "host" and "network.host" not in request.entitlements and request.network != "host":
        raise InvalidArgument("network.host is not allowed (give --allow network.host to the build)")
    wanted = request.network if command.network == "default" else command.network
    if wanted != "default":
        return wanted
    asked = os.environ.get("UTSUWA_NETWORK", "")
    return asked or ("host" if Networks(paths).problem() else "bridge")


class Connection:
    """A container's way into one network, or into none when ``network`` is none that can be joined.

    ``directory`` is the build's: the container NAME has its files in the directory NAME of it.
    """

    def __init__(self, paths: Paths, directory: str, name: str, network: str) -> None:
        self.name, self.network = name, network
        self.joins = network not in ALONE
        self._paths = paths
        self._places = Places(paths.root, paths.run)
        self._places.containers = directory

    def prepare(self, hostname: str, hosts: tuple[str, ...]) -> None:
        """Write down what the container wants. Raises NotFound for a network that is not there."""
        if self.joins:
            found = Networks(self._paths).find(self.network)
            attachment = Attachment(network=found.id, name=found.name)
            plugs = Plugs(attachments=(attachment,), names=(self.name,), hostname=hostname, hosts=hosts)
            self._places.keep_plugs(self.name, plugs)
            from utsuwa.network import plug  # noqa: F401  (once, before every keeper would do so)

    def join(self, pid: int, sockets: tuple[int, ...]) -> None:
        """Put a process, of whose namespace ``sockets`` are, into the network."""
        from utsuwa.linux.rtnetlink import OF_PROCESS
        from utsuwa.network.plug import Inside, join_all

        with Inside((OF_PROCESS, pid), sockets) as inside:
            join_all(self._places, self.name, inside)

    def leave(self) -> None:
        """Give everything back. Can be repeated."""
        if self.joins:
            leave_networks(self._places, self.name)


def leave_all(paths: Paths, prefix: str) -> None:
    """Give back what containers whose names begin so have left in networks."""
    places = Places(paths.root, paths.run)
    for network in places.active():
        for endpoint in list(places.endpoints(network)):
            if endpoint.container.startswith(prefix):
                leave_networks(places, endpoint.container)

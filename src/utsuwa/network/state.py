"""Reading and writing what records.py describes. Everything changes by rename or by a symbolic link."""

from __future__ import annotations

import os
from fcntl import LOCK_EX, flock

from utsuwa.errors import Error, NotFound, from_oserror
from utsuwa.network.records import PLUGS_FILE, Endpoint, Network, Plugs
from utsuwa.spec.codec import dumps, encode, parse
from utsuwa.spec.record import Record, decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Places:
    """Where things are: ``root`` outlives a reboot, ``run`` means something while the host runs."""

    __slots__ = ("containers", "root", "run")

    def __init__(self, root: str, run: str) -> None:
        self.root, self.run = f"{root}/networks", f"{run}/networks"
        self.containers = f"{root}/containers"

    def endpoint(self, network: str, container: str) -> str:
        """The file of a place in a network."""
        return f"{self.run}/{network}/endpoints/{container}"

    def network(self, identifier: str) -> Network:
        """The record of a network. Raises NotFound."""
        found = read(Network, f"{self.root}/{identifier}.json")
        if found is None:
            raise NotFound(f"network {identifier} not found")
        return found  # type: ignore[return-value]

    def networks(self) -> list[Network]:
        """All that there are, the oldest first."""
        found = []
        for name in _names(self.root):
            if name.endswith(".json"):
                try:
                    found.append(self.network(name[: -len(".json")]))
                except Error:  # removed meanwhile, or damaged: then it can be removed by its id
                    continue
        return sorted(found, key=lambda network: network.createdAt)

    def plugs(self, container: str) -> Plugs | None:
        """What a container wants, None for nothing: it uses the host's network, another's, or none."""
        return read(Plugs, f"{self.containers}/{container}/{PLUGS_FILE}")  # type: ignore[return-value]

    def keep_plugs(self, container: str, plugs: Plugs) -> None:
        """Write down what a container wants."""
        write(f"{self.containers}/{container}/{PLUGS_FILE}", plugs)

    def endpoints(self, network: str) -> Iterator[Endpoint]:
        """The places that are taken in a network."""
        for container in _names(f"{self.run}/{network}/endpoints"):
            found = self.find(network, container)
            if found:
                yield found

    def find(self, network: str, container: str) -> Endpoint | None:
        """A container's place in a network, None when it has none."""
        try:
            return read(Endpoint, self.endpoint(network, container))  # type: ignore[return-value]
        except Error:  # cut short by a full disk
            return None

    def of(self, container: str) -> list[Endpoint]:
        """All places of a container, in the order of its interfaces."""
        found = [self.find(network, container) for network in self.active()]
        return sorted((each for each in found if each), key=lambda each: (len(each.interface), each.interface))

    def active(self) -> list[str]:
        """The ids of networks that have or had running containers since the host came up."""
        return [name for name in _names(self.run) if len(name) == 64]

    @property
    def plugged(self) -> str:
        """The directory of what CNI plugins were asked for; it is made with the first."""
        return f"{self.root}/plugged"

    def lock(self, name: str) -> int:
        """Hold RUN/networks/NAME for us alone until the descriptor is closed; it is made if need be."""
        directory = f"{self.run}/{name}"
        try:
            os.makedirs(directory, 0o711, exist_ok=True)
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise from_oserror(error, directory) from error
        flock(fd, LOCK_EX)
        return fd


def write(path: str, record: Record) -> None:
    """Put a record in place as a whole."""
    directory, _, name = path.rpartition("/")
    temporary = f"{directory}/.{name}.{os.getpid()}"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, dumps(encode(record)).encode())
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except OSError as error:
        raise from_oserror(error, f"write {path}") from error


def read(cls: type, path: str) -> Record | None:
    """The record in a file, None when there is none. Raises Error for one that is damaged."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return decode(cls, parse(os.read(fd, 1 << 20)))
    finally:
        os.close(fd)


def _names(directory: str) -> list[str]:
    try:
        return [name for name in sorted(os.listdir(directory)) if name[0] != "."]
    except (FileNotFoundError, NotADirectoryError):
        return []

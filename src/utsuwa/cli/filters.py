"""``--filter`` of `ps`: conditions on containers."""

from __future__ import annotations

from utsuwa.cli.flags import BadUsage
from utsuwa.engine.labels import has_labels
from utsuwa.engine.names import name_matches
from utsuwa.errors import InvalidArgument, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.status import Status

_STATES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
_KEYS = (
    *("status", "name", "id", "label", "ancestor", "exited", "volume", "network", "before", "since"),
    *("health", "publish", "expose", "is-task", "isolation"),
)
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}
_HEALTH = ("starting", "healthy", "unhealthy", "none")


class Filters:
    """The conditions of one command line: values of one key are alternatives (but for labels), keys go together."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._wanted: dict[str, list[str]] = {}
        self._known_images: dict[str, set[str]] = {}
        for text in texts:
            key, equals, value = text.partition("=")
            key = key.strip().lower()
            if not equals:
                raise BadUsage(
                    f'invalid argument "{text}" for "-f, --filter" flag: bad format of filter (expected name=value)'
                )
            if key not in _KEYS:
                raise InvalidArgument(f"invalid filter '{key}'")
            if key == "status" and value not in _STATES:
                raise InvalidArgument(f"invalid filter 'status={value}': expected one of {', '.join(_STATES)}")
            if key == "health" and value not in _HEALTH:
                raise InvalidArgument(f"invalid filter 'health={value}': expected one of {', '.join(_HEALTH)}")
            if key in ("publish", "expose"):
                _ports(value, key)
            if key == "exited" and not value.removeprefix("-").isdecimal():
                raise InvalidArgument(f"invalid filter 'exited={value}': expected an exit code")
            if key == "is-task" and value not in _TRUTHS:
                raise InvalidArgument(f"invalid filter 'is-task=[{value}]'")
            self._wanted.setdefault(key, []).append(value.strip())

    @property
    def any_state(self) -> bool:
        """Containers that don't run are looked at, too."""
        return any(key in self._wanted for key in ("status", "exited", "before", "since"))

    def _images_on(self, name: str) -> set[str]:
        if name not in self._known_images:
            self._known_images[name] = _images_on(name)
        return self._known_images[name]

    def match(
        self, record: ContainerRecord, status: Status, everybody: Sequence[tuple[ContainerRecord, Status]]
    ) -> bool:
        """One container fulfils them; ``everybody`` is needed to find those that it is compared with."""
        if not has_labels(record.labels, self._wanted.get("label", ())):
            return False
        checks: dict[str, Callable[[str], bool]] = {
            "status": lambda value: value == status.name,
            "name": lambda value: name_matches(value, record.name, f"/{record.name}"),
            "id": lambda value: record.id.startswith(value),
            "ancestor": lambda value: record.imageId in self._images_on(value),
            "exited": lambda value: status.name == "exited" and str(status.code) == value,
            "volume": lambda value: any(value in _places(point) for point in record.mountPoints),
            "network": lambda value: value in _networks(record),
            "health": lambda value: value == (status.health or "none"),
            "publish": lambda value: status.alive and not _ports(value).isdisjoint(_published(record)),
            "expose": lambda value: status.alive and not _ports(value).isdisjoint(_exposed(record)),
            "is-task": lambda value: not _TRUTHS[value],
            "isolation": lambda _value: True,  # there is one kind only, as with Docker on Linux
            "before": lambda value: record.createdAt < _born(value, everybody),
            "since": lambda value: record.createdAt > _born(value, everybody),
        }
        wanted = self._wanted.items()
        return all(any(checks[key](value) for value in values) for key, values in wanted if key != "label")


def _images_on(name: str) -> set[str]:
    """The ids of an image and of those that were made of it."""
    from utsuwa.cli.house import House

    images = House().images
    try:
        found = {images.resolve(name).id}
    except (InvalidArgument, NotFound):
        return set()
    parents = {image.id: image.record.parent for image in images.store.list()}
    while further := {each for each, parent in parents.items() if parent in found} - found:
        found |= further
    return found


def _places(point: object) -> tuple[str, ...]:
    """What a mount may be called by: its host path, its path inside, its volume's name."""
    return point["source"], point["destination"], point["name"]  # type: ignore[index]


def _networks(record: ContainerRecord) -> set[str]:
    """Names and ids of the networks that it is in, or would be if it ran; ``host`` and ``none``, too."""
    from utsuwa.cli.house import House
    from utsuwa.network.state import Places

    paths = House().paths
    plugs = Places(paths.root, paths.run).plugs(record.id)
    if plugs is None:
        return {record.networkMode}
    return {word for each in plugs.attachments for word in (each.name, each.network, each.network[:12])}


def _ports(text: str, key: str = "publish") -> set[tuple[int, str]]:
    """``80``, ``80/udp`` or ``8000-8010/tcp`` as ports and protocols. Raises InvalidArgument."""
    numbers, _, protocol = text.partition("/")
    first, dash, last = numbers.partition("-")
    if not all(each.isascii() and each.isdigit() and int(each) < 1 << 16 for each in (first, last if dash else first)):
        raise InvalidArgument(f"invalid filter '{key}={text}': expected PORT[-PORT][/PROTOCOL]")
    return {(number, protocol or "tcp") for number in range(int(first), int(last or first) + 1)}


def _published(record: ContainerRecord) -> set[tuple[int, str]]:
    """Ports of the host that lead to a running container."""
    from utsuwa.cli.house import House
    from utsuwa.engine.network_inspection import published

    return {(port.host_port, port.protocol) for port in published(House().paths, record.id)}


def _exposed(record: ContainerRecord) -> set[tuple[int, str]]:
    """Ports of a running container that it exposes, or that are published."""
    from utsuwa.cli.house import House
    from utsuwa.engine.network_inspection import ports

    pairs = [text.partition("/") for text in ports(House().paths, record)]
    return {(int(number), protocol) for number, _, protocol in pairs}


def _born(name: str, everybody: Sequence[tuple[ContainerRecord, Status]]) -> str:
    for record, _status in everybody:
        if name.removeprefix("/") == record.name or (name and record.id.startswith(name)):
            return record.createdAt
    raise NotFound(f"No such container: {name}")

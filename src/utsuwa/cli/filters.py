"""``--filter`` of `ps`: conditions on containers."""

from __future__ import annotations

from utsuwa.cli.flags import BadUsage
from utsuwa.engine.labels import has_labels
from utsuwa.errors import InvalidArgument, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.status import Status

_STATES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
_KEYS = (
    *("status", "name", "id", "label", "ancestor", "exited", "volume", "network", "before", "since"),
    *("health", "publish"),
)
_HEALTH = ("starting", "healthy", "unhealthy", "none")


class Filters:
    """The conditions of one command line: values of one key are alternatives (but for labels), keys go together."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._wanted: dict[str, list[str]] = {}
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
            if key == "publish":
                _ports(value)
            self._wanted.setdefault(key, []).append(value.strip())

    @property
    def any_state(self) -> bool:
        """Containers that don't run are looked at, too."""
        return any(key in self._wanted for key in ("status", "exited", "before", "since"))

    def match(
        self, record: ContainerRecord, status: Status, everybody: Sequence[tuple[ContainerRecord, Status]]
    ) -> bool:
        """One container fulfils them; ``everybody`` is needed to find those that it is compared with."""
        if not has_labels(record.labels, self._wanted.get("label", ())):
            return False
        checks: dict[str, Callable[[str], bool]] = {
            "status": lambda value: value == status.name,
            "name": lambda value: _name_matches(value, record.name),
            "id": lambda value: record.id.startswith(value),
            "ancestor": lambda value: _stands_on(record, value),
            "exited": lambda value: status.name == "exited" and str(status.code) == value,
            "volume": lambda value: any(value in _places(point) for point in record.mountPoints),
            "network": lambda value: value in _networks(record),
            "health": lambda value: value == (status.health or "none"),
            "publish": lambda value: not _ports(value).isdisjoint(_published(record)),
            "before": lambda value: record.createdAt < _born(value, everybody),
            "since": lambda value: record.createdAt > _born(value, everybody),
        }
        wanted = self._wanted.items()
        return all(any(checks[key](value) for value in values) for key, values in wanted if key != "label")


def _name_matches(pattern: str, name: str) -> bool:
    """A regular expression found in the name, with or without the slash before it."""
    if pattern.replace("_", "").replace("-", "").isalnum():
        return pattern in name
    import re

    try:
        found = re.compile(pattern)
    except re.error as error:
        raise InvalidArgument(f"invalid filter 'name={pattern}': {error}") from None
    return bool(found.search(name) or found.search(f"/{name}"))


def _stands_on(record: ContainerRecord, image: str) -> bool:
    by_name = record.image.removesuffix(":latest") == image.removesuffix(":latest")
    digest = image.removeprefix("sha256:")
    return by_name or (len(digest) >= 12 and record.imageId.removeprefix("sha256:").startswith(digest))


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


def _ports(text: str) -> set[tuple[int, str]]:
    """``80``, ``80/udp`` or ``8000-8010/tcp`` as ports and protocols. Raises InvalidArgument."""
    numbers, _, protocol = text.partition("/")
    first, dash, last = numbers.partition("-")
    if not all(each.isascii() and each.isdigit() and int(each) < 1 << 16 for each in (first, last if dash else first)):
        raise InvalidArgument(f"invalid filter 'publish={text}': expected PORT[-PORT][/PROTOCOL]")
    return {(number, protocol or "tcp") for number in range(int(first), int(last or first) + 1)}


def _published(record: ContainerRecord) -> set[tuple[int, str]]:
    """The ports that were asked for: those of the host, and those of the container behind them."""
    ports = (record.request.get("networking") or {}).get("ports") or ()  # type: ignore[attr-defined]
    numbers = [(each.get(key) or 0, each["protocol"]) for each in ports for key in ("host_port", "port")]
    return {(number, protocol) for number, protocol in numbers if number}


def _born(name: str, everybody: Sequence[tuple[ContainerRecord, Status]]) -> str:
    for record, _status in everybody:
        if name.removeprefix("/") == record.name or (name and record.id.startswith(name)):
            return record.createdAt
    raise NotFound(f"No such container: {name}")

"""What a user asks of a build, and where it stands: every door fills this, as it does RunRequest for a container."""

from __future__ import annotations

from utsuwa.spec.record import Record
from utsuwa.spec.request import RunRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from utsuwa.build.contexts import NamedContext
    from utsuwa.spec.platform import Platform

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
"""Build arguments that every RUN sees without declaring them, in either case, and that no cache knows."""


class Secret(Record):
    """A secret of ``--secret``: the bytes that ``RUN --mount=type=secret,id=ID`` is given."""

    id: str
    data: bytes


class BuildRequest(Record):
    """``arguments``: ``--build-arg``. ``target``: a stage's name or number, "" for the last. ``epoch``:
    SOURCE_DATE_EPOCH in seconds, None for now. ``network``: default, none or host, for every RUN that does not say.
    ``entitlements``: ``network.host`` and ``security.insecure``. ``agents``: the sockets of ssh agents, by the id that
    ``--ssh`` gives them. ``contexts``: ``--build-context``. ``uncached``: names of stages that are built anew.
    ``inline_cache``: the image tells of its own layers which keys they have.
    ``platforms``: all that are built for, when there are several; ``platform`` is the one that is at hand.
    ``container``: limits and confinement of every RUN.
    """

    context: str
    dockerfile: bytes
    name: str = "Dockerfile"
    ignored: tuple[str, ...] = ()
    contexts: dict[str, NamedContext] = {}
    arguments: dict[str, str] = {}
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    target: str = ""
    platform: Platform | None = None
    platforms: tuple[Platform, ...] = ()
    use_cache: bool = True
    inline_cache: bool = False
    uncached: tuple[str, ...] = ()
    epoch: int | None = None
    network: str = "default"
    entitlements: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    container: RunRequest = RunRequest(image="")
    secrets: tuple[Secret, ...] = ()
    agents: dict[str, str] = {}


def normal(name: str) -> str:
    """A name as it is looked up: of an image without a tag the latest is meant."""
    name = name.lower().removeprefix("docker.io/").removeprefix("library/")
    return name.removesuffix(":latest")


def proxies(arguments: Mapping[str, str]) -> dict[str, str]:
    """The build arguments that are about proxies."""
    return {name: value for name, value in arguments.items() if name.upper() in PROXIES}


def hosts_of(hosts: tuple[str, ...]) -> tuple[str, ...]:
    """``NAME:ADDRESS`` of what ``--add-host`` says. Raises InvalidArgument."""
    from utsuwa.spec.network_flags import parse_add_host

    return tuple(map(parse_add_host, hosts))


def host_lines(hosts: tuple[str, ...]) -> str:
    """Lines for /etc/hosts, where there is no bridge: the host is then what is at 127.0.0.1."""
    pairs = [text.partition(":") for text in hosts_of(hosts)]
    return "".join(f"{'127.0.0.1' if address == 'host-gateway' else address}\t{name}\n" for name, _, address in pairs)

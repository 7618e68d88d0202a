"""Fields that templates ask for and our documents have as null, or leave out: Go shows what has a type but no value.

``{{.HostConfig.Binds}}`` is ``[]`` there and ``{{.State.Health}}`` is ``<nil>``; JSON has ``null`` for the one, and
nothing for the other.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class NoList(list):  # type: ignore[type-arg]
    """A list that is nil."""


class NoMap(dict):  # type: ignore[type-arg]
    """A map that is nil."""


class NoPointer:
    """A pointer that is nil."""

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return "<nil>"


NOTHING = (NoList, NoMap, NoPointer)
"""What JSON has null for."""
_LISTS = (
    *("Aliases", "Binds", "CapAdd", "CapDrop", "Cmd", "DNSNames", "DeviceCgroupRules", "DeviceRequests", "Devices"),
    *("Entrypoint", "Env", "ExecIDs", "ExtraHosts", "GroupAdd", "Links", "MaskedPaths", "OnBuild", "ReadonlyPaths"),
    *("SecurityOpt", "Shell", "Ulimits", "VolumesFrom"),
)
_MAPS = ("Annotations", "DriverOpts", "ExposedPorts", "Labels", "Options", "StorageOpt", "Sysctls", "Tmpfs", "Volumes")
_POINTERS = (
    *("Health", "Healthcheck", "IPAMConfig", "Init", "MemorySwappiness", "OomKillDisable", "PidsLimit", "SizeRootFs"),
    *("SizeRw", "StopTimeout"),
)
_WORDS = ("Domainname", "Hostname", "StopSignal", "User", "WorkingDir")
_EMPTY: dict[str, Any] = {
    **{name: NoList() for name in _LISTS},
    **{name: NoMap() for name in _MAPS},
    **{name: NoPointer() for name in _POINTERS},
    **dict.fromkeys(_WORDS, ""),
}
_LEFT_OUT = {
    "": ("SizeRootFs", "SizeRw"),
    "State": ("Health",),
    "HostConfig": ("Annotations", "StorageOpt", "Sysctls", "Tmpfs"),
    "Config": (
        *("Cmd", "Entrypoint", "Env", "ExposedPorts", "Healthcheck", "Labels", "OnBuild", "Shell", "StopTimeout"),
        *("Volumes", *_WORDS),
    ),
}
"""Which of them are not there, by the part of a document."""


class Typed(dict):  # type: ignore[type-arg]
    """A document that for templates has the fields in ``absent``, too."""

    absent: Mapping[str, Any] = {}


def typed(document: dict[str, Any]) -> Typed:
    """The document of a container or an image for templates."""
    made = Typed(document)
    made |= {part: Typed(document[part]) for part in _LEFT_OUT if isinstance(document.get(part), dict)}
    for part, inner in (("", made), *made.items()):
        if isinstance(inner, Typed):
            inner.absent = {name: _EMPTY[name] for name in _LEFT_OUT[part]}
    return made


def empty(name: str) -> Any:
    """What a field is that is null."""
    return _EMPTY.get(name)

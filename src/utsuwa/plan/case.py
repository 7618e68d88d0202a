"""One container to plan for: the documents, the facts, and what every room asks of them."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument
from utsuwa.linux.namespaces import KINDS
from utsuwa.spec.runtime import Linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.linux.host import Host
    from utsuwa.plan.mounts import Placed
    from utsuwa.plan.options import CreateOptions, ExecOptions
    from utsuwa.spec.runtime import IDMapping, Process, Spec


class Case:
    """Spec, process, host and options side by side; rooms add to ``warnings``."""

    options: CreateOptions | ExecOptions

    def __init__(self, spec: Spec, process: Process, host: Host, options: CreateOptions | ExecOptions) -> None:
        self.spec = spec
        self.process = process
        self.host = host
        self.options = options
        self.linux: Linux = spec.linux or Linux()
        self.warnings: list[str] = []
        self.kinds = {namespace.type: namespace.path or "" for namespace in self.linux.namespaces or ()}

    def has(self, kind: str) -> bool:
        """The container has a namespace of this type other than the runtime's, new or joined."""
        return kind in self.kinds

    def makes(self, kind: str) -> bool:
        """The container gets a new namespace of this type."""
        return self.kinds.get(kind) == "" and kind in self.kinds

    @property
    def confined_ids(self) -> bool:
        """The process is in a user namespace other than the initial one: no mknod, no fresh sysfs of the host's net."""
        return self.has("user") or self.host.in_user_namespace

    def flags(self, *, new: bool = True, joined: bool = True) -> int:
        """CLONE_NEW* bits of the container's namespaces."""
        bits = 0
        for kind, path in self.kinds.items():
            if joined if path else new:
                bits |= KINDS[kind]
        return bits

    def maps_gid(self, gid: int) -> bool:
        """``gid`` means something in the container's user namespace, as far as the configuration tells."""
        mappings = self.linux.gidMappings
        return not self.has("user") or not mappings or _maps(mappings, gid)

    def environment(self) -> tuple[str, ...]:
        """The process's environment, in which the last of several entries with one name counts (config.md#process)."""
        entries: dict[str, str] = {}
        for entry in self.process.env or ():
            name, equals, value = entry.partition("=")
            if not name or not equals:
                raise InvalidArgument(f'process.env: "{entry}" is not of the form NAME=value')
            entries[name] = value
        return tuple([f"{name}={value}" for name, value in entries.items()])


class CreateCase(Case):
    """The first process of a container."""

    options: CreateOptions
    placed: list[Placed] | None = None


class ExecCase(Case):
    """One more process of a container."""

    options: ExecOptions


def _maps(mappings: tuple[IDMapping, ...], number: int) -> bool:
    return any(mapping.containerID <= number < mapping.containerID + mapping.size for mapping in mappings)

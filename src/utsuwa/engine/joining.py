"""``--network``, ``--pid`` and ``--ipc container:NAME``: looked up when a container is made, entered at every start.

The other container has another process in each of its runs, so the paths of its namespaces are put into the
configuration just before they are needed.
"""

from __future__ import annotations

from utsuwa.errors import Conflict, InvalidArgument
from utsuwa.linux.namespaces import PROC_NAMES
from utsuwa.spec.codec import dumps, encode, parse
from utsuwa.spec.record import decode
from utsuwa.spec.request import RunRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.status import Status

_PREFIX = "container:"
_CALLED = {"pid": "PID", "ipc": "IPC", "network": "network"}


def look_up(request: RunRequest, find: Callable[[str], ContainerRecord]) -> RunRequest:
    """The request with ids in the place of names. Raises NotFound, InvalidArgument for IPC that is not to be shared."""
    asked = request.seldom
    if asked is None or not (asked.pid.startswith(_PREFIX) or asked.ipc.startswith(_PREFIX)):
        return request
    found = {}
    for kind in ("pid", "ipc"):
        name = getattr(asked, kind)
        if name.startswith(_PREFIX):
            other = find(name.removeprefix(_PREFIX))
            if kind == "ipc":
                _check_shareable(other)
            found[kind] = f"{_PREFIX}{other.id}"
    return request.replace(seldom=asked.replace(**found))


def _check_shareable(other: ContainerRecord) -> None:
    request: RunRequest = decode(RunRequest, other.request)
    if request.seldom is None or request.seldom.ipc not in ("shareable", "host"):
        raise InvalidArgument(f"IPC mode: container {other.name} has no shareable IPC (make it with --ipc shareable)")


def joins(record: ContainerRecord) -> dict[str, str]:
    """Kind of namespace -> id of the container whose it is."""
    asked = (record.request or {}).get("seldom") or {}  # type: ignore[attr-defined]
    words = {"network": record.networkMode, **{kind: asked.get(kind) or "" for kind in ("pid", "ipc")}}
    return {kind: word.removeprefix(_PREFIX) for kind, word in words.items() if word.startswith(_PREFIX)}


def enter(path: str, wanted: dict[str, str], look: Callable[[str], tuple[ContainerRecord, Status]]) -> None:
    """Put the namespaces of running containers into the configuration at ``path``. Raises NotFound and Conflict."""
    with open(path, "rb", buffering=0) as file:
        config = parse(file.read())
    for kind, identifier in wanted.items():
        other, status = look(identifier)
        if not status.alive:
            raise Conflict(f"cannot join {_CALLED[kind]} of a non running container: {other.id}")
        process = f"/proc/{status.pid}/ns"
        for namespace in config["linux"]["namespaces"]:
            if namespace["type"] == kind:
                namespace["path"] = f"{process}/{PROC_NAMES[kind]}"
        if kind == "ipc":
            _share_memory(config, f"{process}/mnt")
    with open(path, "wb", buffering=0) as file:
        file.write(dumps(encode(config)).encode())


def _share_memory(config: dict[str, list[dict[str, object]]], namespace: str) -> None:
    """/dev/shm as the other container has it, beneath its root: a bind whose source is a mount namespace."""
    for mount in config["mounts"]:
        if mount["destination"] == "/dev/shm":
            mount["source"] = namespace
            mount["options"] = ["bind", "rprivate", "X-mount.subdir=dev/shm"]

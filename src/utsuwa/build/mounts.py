"""``RUN --mount``: what the flag says, and what a container gets for it.

bind    a directory of the context, a stage or an image, read-only unless rw, and then changes are thrown away
cache   a directory of the engine's that outlives the build
tmpfs   memory
secret  a file that --secret gave, or a variable of it
ssh     a socket that leads to the ssh agent that --ssh gave
"""

from __future__ import annotations

from utsuwa.build.arguments import count
from utsuwa.errors import InvalidArgument
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_SWITCHES = {"ro": "read_only", "readonly": "read_only", "rw": "write", "readwrite": "write", "required": "required"}
_TEXTS = {
    "type": "type",
    "target": "target",
    "dst": "target",
    "destination": "target",
    "source": "source",
    "src": "source",
    "from": "origin",
    "id": "id",
    "sharing": "sharing",
    "mode": "mode",
    "uid": "uid",
    "gid": "gid",
    "size": "size",
    "env": "env",
}
_ALLOWED = {
    "bind": {"target", "source", "origin", "read_only", "write"},
    "cache": {"target", "source", "origin", "id", "sharing", "mode", "uid", "gid", "read_only", "write"},
    "tmpfs": {"target", "size"},
    "secret": {"target", "id", "required", "mode", "uid", "gid", "env"},
    "ssh": {"target", "id", "required", "mode", "uid", "gid"},
}


class RunMount(Record):
    """One ``--mount``; ``target`` is absolute, ``size`` bytes (tmpfs, None: no limit), ``mode`` permissions or None."""

    type: str
    target: str
    source: str = ""
    origin: str = ""
    writable: bool = False
    id: str = ""
    sharing: str = "shared"
    mode: int | None = None
    uid: int = 0
    gid: int = 0
    size: int | None = None
    required: bool = False
    env: str = ""


def parse(text: str, expand: Callable[[str], str], absolute: Callable[[str], str]) -> RunMount:
    """A mount of ``type=cache,target=/x,…``. Raises InvalidArgument in BuildKit's words."""
    found: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        field = _SWITCHES.get(name) or _TEXTS.get(name)
        if field is None:
            raise InvalidArgument(f"unexpected key '{name}' in '{part}'")
        if not equals and name not in _SWITCHES:
            raise InvalidArgument(f"invalid field '{part}' must be a key=value pair")
        if name in _SWITCHES and value not in ("", "true", "false", "1", "0"):
            raise InvalidArgument(f"invalid value for '{name}': {value}")
        found[field] = expand(value) if equals else "true"
    return _checked(found, text, absolute)


def _checked(found: dict[str, str], text: str, absolute: Callable[[str], str]) -> RunMount:
    kind = found.pop("type", "bind")
    if kind not in _ALLOWED:
        raise InvalidArgument(f'unsupported mount type "{kind}"')
    wrong = sorted(set(found) - _ALLOWED[kind])
    if wrong:
        raise InvalidArgument(f"unexpected key '{wrong[0]}' for mount type '{kind}'")
    mount = RunMount(
        type=kind,
        target=_target(kind, found, text, absolute),
        source=found.get("source", ""),
        origin=found.get("origin", ""),
        writable=_writable(kind, found),
        id=found.get("id", ""),
        sharing=found.get("sharing", "shared"),
        mode=_mode(found["mode"]) if "mode" in found else None,
        uid=count("mount uid", found.get("uid", "0")),
        gid=count("mount gid", found.get("gid", "0")),
        size=_size(found["size"]) if "size" in found else None,
        required=found.get("required") in ("true", "1"),
        env=found.get("env", ""),
    )
    if mount.sharing not in ("shared", "private", "locked"):
        raise InvalidArgument(f'unsupported sharing value "{mount.sharing}"')
    if not mount.id and kind in ("cache", "ssh"):
        mount = mount.replace(id=mount.target if kind == "cache" else "default")
    return mount


def _target(kind: str, found: dict[str, str], text: str, absolute: Callable[[str], str]) -> str:
    target = found.get("target", "")
    if not target and kind == "secret":
        if not found.get("id"):
            raise InvalidArgument("target is required if id is empty")
        return "" if found.get("env") else f"/run/secrets/{found['id'].rpartition('/')[2]}"
    if not target and kind == "ssh":
        return ""
    if not target:
        raise InvalidArgument(f"target is required in '{text}'")
    place = absolute(target).rstrip("/")
    if not place:
        raise InvalidArgument(f'invalid mount target "{target}"')
    if kind == "secret" and not found.get("id"):
        found["id"] = place.rpartition("/")[2]
    return place


def _writable(kind: str, found: dict[str, str]) -> bool:
    if "write" in found:
        return found["write"] in ("true", "1", "")
    if "read_only" in found:
        return found["read_only"] not in ("true", "1", "")
    return kind == "cache"


def _mode(text: str) -> int:
    if not text or len(text) > 5 or any(digit not in "01234567" for digit in text):
        raise InvalidArgument(f"invalid value {text} for mode")
    return int(text, 8)


def _size(text: str) -> int:
    from utsuwa.spec.flags import parse_bytes

    return parse_bytes(text, "mount size")

"""Volumes of the driver local that are more than a directory: ``-o type=tmpfs|none|ext4 -o device=… -o o=…``.

Docker mounts these on the host when a container starts. Nothing of ours is mounted on the host: the container's plan
mounts them in its own mount namespace.
"""

from __future__ import annotations

from utsuwa.errors import InvalidArgument, Unsupported
from utsuwa.spec.runtime import Mount

_KEYS = ("type", "device", "o")
_REMOTE = ("nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "afs")


def check_options(options: dict[str, str]) -> None:
    """Raise InvalidArgument for options that the driver has not, Unsupported for file systems that need a network."""
    for key in options:
        if key not in _KEYS:
            raise InvalidArgument(f'invalid option: "{key}" (the driver local has {", ".join(_KEYS)})')
    kind, device = options.get("type", ""), options.get("device", "")
    if kind in _REMOTE:
        raise Unsupported(
            f"unsupported: a volume of type {kind}, which would be mounted in the container's network: "
            "mount it on the host and use -o type=none -o o=bind -o device=PATH"
        )
    if is_bind(options):
        if device[:1] != "/":
            raise InvalidArgument(f"a volume that binds needs an absolute device=PATH, found {device!r}")
    elif not kind:
        raise InvalidArgument("missing required option: type (tmpfs, none with o=bind, or a file system)")
    elif kind != "tmpfs" and device[:1] != "/":
        raise InvalidArgument(f"a volume of type {kind} needs an absolute device=PATH, found {device!r}")


def is_bind(options: dict[str, str] | None) -> bool:
    """The volume is a directory of the host."""
    words = (options or {}).get("o", "").split(",")
    return "bind" in words or "rbind" in words


def is_private(options: dict[str, str] | None) -> bool:
    """Every container would get another one of these: a file system in memory."""
    return (options or {}).get("type") == "tmpfs" and not is_bind(options)


def mount(options: dict[str, str], target: str, read_only: bool, copy: bool) -> Mount:
    """What a container mounts; ``copy``: a file system in memory begins with what the image has at ``target``."""
    words = [word for word in options.get("o", "").split(",") if word]
    if read_only:
        words.append("ro")
    if is_bind(options):
        kept = [word for word in words if word not in ("bind", "rbind")]
        kind = "rbind" if "rbind" in words else "bind"
        return Mount(destination=target, type="bind", source=options["device"], options=(kind, "rprivate", *kept))
    kind = options["type"]
    if kind == "tmpfs":
        words += ["tmpcopyup"] if copy else []
        return Mount(destination=target, type="tmpfs", source="tmpfs", options=tuple(words))
    return Mount(destination=target, type=kind, source=options["device"], options=tuple(words))

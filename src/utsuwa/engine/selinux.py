"""SELinux's labels of containers that ask for one (``--security-opt label=…``), and of what ``z`` and ``Z`` lend them.

The host's policy says what containers and their files are called (``lxc_contexts``, of container-selinux). What a user
leaves out of a label is taken from there, but for the level: two categories that no other container has.
"""

from __future__ import annotations

import errno
import os

from utsuwa.errors import FailedPrecondition, InvalidArgument, Unsupported, from_oserror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from utsuwa.engine.mountpoints import MountPoint
    from utsuwa.spec.mount import Mount
    from utsuwa.spec.request import RunRequest

ATTRIBUTE = "security.selinux"
SHARED_LEVEL = "s0"
"""The level that every container may use."""
_CONFIGURATION = "/etc/selinux"
_CATEGORIES = 1024
_NEEDED = frozenset(
    [
        "/",
        "/bin",
        "/boot",
        "/dev",
        "/etc",
        "/etc/passwd",
        "/etc/pki",
        "/etc/shadow",
        "/home",
        "/lib",
        "/lib64",
        "/media",
        "/opt",
        "/proc",
        "/root",
        "/run",
        "/sbin",
        "/srv",
        "/sys",
        "/system",
        "/tmp",
        "/usr",
        "/var",
        "/var/lib",
        "/var/log",
    ]
)
"""The host would no longer work with the labels of a container on these."""


def settle(request: RunRequest, taken: Iterable[str]) -> RunRequest:
    """The request with a whole label. ``taken`` are those that other containers have. Raises Unsupported where the
    policy names none.
    """
    given = (request.security.selinux or "").split(":", 3)
    usual = _contexts()["process"].split(":", 3)
    label = [one or other for one, other in zip(given, usual, strict=False)]
    if not given[3]:
        label[3] = _new_level({each.split(":", 3)[-1] for each in taken})
    return request.replace(security=request.security.replace(selinux=":".join(label)))


def file_label(label: str) -> str:
    """What the files of a container with this label are called."""
    user, _role, _type, level = label.split(":", 3)
    _user, role, kind, _level = _contexts()["file"].split(":", 3)
    return f"{user}:{role}:{kind}:{level}"


def label_root(label: str, mounts: Iterable[Mount]) -> tuple[Mount, ...]:
    """The mounts that make a container's root, all of whose files it may use: an overlay has a label for them by an
    option, a directory that is the container's alone gets it.
    """
    made = []
    for mount in mounts:
        if mount.type == "overlay":
            mount = mount.replace(options=(*mount.options, f"context={file_label(label)}"))
        elif mount.source:
            _relabel(mount.source, file_label(label))
        made.append(mount)
    return tuple(made)


def relabel_all(label: str, points: Iterable[MountPoint]) -> None:
    """Give what is lent to a container with ``z`` and ``Z`` labels of files that it may use: with others, or alone.

    Raises InvalidArgument for what the host needs as it is, and what setting a label raises.
    """
    own = file_label(label)
    labels = {"Z": own, "z": ":".join((*own.split(":", 3)[:3], SHARED_LEVEL))}
    for point in points:
        if point.mode in labels:
            relabel(point.source, labels[point.mode])


def relabel(path: str, label: str) -> None:
    """Label a file or a whole tree; no link is followed, and what vanishes meanwhile is left out.

    Raises as :func:`relabel_all`.
    """
    real = os.path.realpath(path)
    if real in _NEEDED or real == os.path.realpath(os.path.expanduser("~")):
        raise InvalidArgument(f"SELinux relabeling of {real} is not allowed")
    _relabel(real, label)


def _relabel(real: str, label: str) -> None:
    _set(real, label)
    if not os.path.isdir(real):
        return
    for _directory, folders, files, fd in os.fwalk(real):
        for name in (*folders, *files):
            try:
                _set(f"/proc/self/fd/{fd}/{name}", label)
            except FileNotFoundError:
                continue


def _set(path: str, label: str) -> None:
    try:
        os.setxattr(path, ATTRIBUTE, label.encode() + b"\0", follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP or _has(path, label):  # the file system has one label for all
            return
        raise from_oserror(error, f"relabel {os.path.realpath(path)} for SELinux") from error


def _has(path: str, label: str) -> bool:
    try:
        return os.getxattr(path, ATTRIBUTE, follow_symlinks=False).rstrip(b"\0") == label.encode()
    except OSError:
        return False


def _new_level(taken: set[str]) -> str:
    """Two categories at random, the smaller first."""
    for _ in range(_CATEGORIES):
        first, second = sorted(int.from_bytes(os.urandom(4), "little") % _CATEGORIES for _ in range(2))
        level = f"{SHARED_LEVEL}:c{first},c{second}"
        if first != second and level not in taken:
            return level
    raise FailedPrecondition("no SELinux level is free for a container: give one by --security-opt label=level:…")


def _contexts() -> dict[str, str]:
    """``process`` and ``file`` of the policy that the host has."""
    policy = _values(f"{_CONFIGURATION}/config").get("SELINUXTYPE", "targeted")
    path = f"{_CONFIGURATION}/{policy}/contexts/lxc_contexts"
    found = _values(path)
    if any(found.get(key, "").count(":") < 3 for key in ("process", "file")):
        raise Unsupported(f"the SELinux policy of this host has no labels for containers in {path} (container-selinux)")
    return found


def _values(path: str) -> dict[str, str]:
    """Lines of ``key = "value"``; none of a file that is not there."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            pairs = [line.partition("=") for line in file if not line.lstrip().startswith("#")]
    except OSError:
        return {}
    return {key.strip(): value.strip().strip('"') for key, equals, value in pairs if equals}

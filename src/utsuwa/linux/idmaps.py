"""Id maps of a user namespace (user_namespaces(7)): /proc/PID/uid_map and gid_map, or newuidmap(1) and newgidmap(1).

A map is written once and in one write(2). A process without CAP_SETUID in the parent namespace may map only its own id
itself; anything more takes the set-uid commands of shadow, which check /etc/subuid and /etc/subgid. Without CAP_SETGID,
setgroups(2) has to be denied first, or a group could be dropped that is there to deny access (CVE-2014-8989).
"""

from __future__ import annotations

import errno
import os

from utsuwa.errors import InvalidArgument, PermissionDenied, from_oserror
from utsuwa.linux.host import read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.spec.runtime import IDMapping

    Mappings = tuple[IDMapping, ...]

LINES_LIMIT = 340
"""UID_GID_MAP_MAX_EXTENTS of the kernel."""


def write(pid: int, uids: Mappings, gids: Mappings) -> None:
    """Map the ids of the user namespace that ``pid`` (of this pid namespace) has made.

    Raises PermissionDenied when neither the kernel nor newuidmap(1) allows the maps, InvalidArgument for what the
    kernel can't parse (overlaps, too many lines).
    """
    _write(pid, "uid", uids)
    _write(pid, "gid", gids)


def check(pid: int, uids: Mappings, gids: Mappings) -> None:
    """Raise InvalidArgument unless the user namespace of ``pid`` has those maps; an empty one is not looked at."""
    for kind, mappings in (("uid", uids), ("gid", gids)):
        found = {tuple(map(int, line.split())) for line in read_file(f"/proc/{pid}/{kind}_map").splitlines()}
        if mappings and found != {(each.containerID, each.hostID, each.size) for each in mappings}:
            raise InvalidArgument(
                f"linux.{kind}Mappings: both a user namespace path and a non-matching mapping specified, "
                "you may only provide one"
            )


def is_mapped(number: int, kind: str) -> bool:
    """Whether this process's user namespace has that id; ``kind`` is "uid" or "gid"."""
    lines = [tuple(map(int, line.split())) for line in read_file(f"/proc/self/{kind}_map").splitlines()]
    return any(first <= number < first + count for first, _, count in lines)


def text(mappings: Mappings) -> str:
    """The lines of a map file: id inside, id outside, count."""
    return "".join([f"{mapping.containerID} {mapping.hostID} {mapping.size}\n" for mapping in mappings])


def _write(pid: int, kind: str, mappings: Mappings) -> None:
    if len(mappings) > LINES_LIMIT:
        raise InvalidArgument(f"linux.{kind}Mappings: {len(mappings)} entries, the kernel takes {LINES_LIMIT}")
    try:
        if kind == "gid" and _only_own(mappings, os.getegid()) and os.geteuid() != 0:
            _put(f"/proc/{pid}/setgroups", "deny")
        _put(f"/proc/{pid}/{kind}_map", text(mappings))
    except OSError as error:
        if error.errno != errno.EPERM:
            raise from_oserror(error, f"linux.{kind}Mappings: writing the {kind} map of process {pid}") from error
        _ask_shadow(pid, kind, mappings)


def _only_own(mappings: Mappings, own: int) -> bool:
    return len(mappings) == 1 and mappings[0].size == 1 and mappings[0].hostID == own


def _put(path: str, content: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, content.encode())
    finally:
        os.close(fd)


def _ask_shadow(pid: int, kind: str, mappings: Mappings) -> None:
    """Run newuidmap or newgidmap; its complaint, if any, becomes the error."""
    command = f"new{kind}map"
    words = [command, str(pid), *text(mappings).split()]
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        child = os.posix_spawnp(command, words, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, writing, 2)])
    except OSError as error:
        os.close(reading)
        raise PermissionDenied(
            f"linux.{kind}Mappings: more than the own id takes {command} of the uidmap package, which can't be run"
        ) from error
    finally:
        os.close(writing)
    complaint = b""
    while part := os.read(reading, 4096):
        complaint += part
    os.close(reading)
    _, status = os.waitpid(child, 0)
    if status != 0:
        said = os.fsdecode(complaint).strip() or f"status {os.waitstatus_to_exitcode(status)}"
        raise PermissionDenied(f"linux.{kind}Mappings: {said}")

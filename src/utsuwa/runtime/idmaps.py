"""Id maps of a new user namespace, written from outside (user_namespaces(7))."""

from __future__ import annotations

import errno
import os

from utsuwa.errors import FailedPrecondition, from_oserror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.spec.runtime import IDMapping


def write(pid: int, uids: tuple[IDMapping, ...], gids: tuple[IDMapping, ...]) -> None:
    """Write the maps of process ``pid``; through newuidmap(1) and newgidmap(1) when we may not do so ourselves."""
    if not _put(f"/proc/{pid}/uid_map", _lines(uids)):
        _by_helper("newuidmap", pid, uids)
    if not _put(f"/proc/{pid}/gid_map", _lines(gids)):
        # Without privileges one's own group can be mapped only by who can't drop groups any more (CVE-2014-8989).
        if len(gids) == 1 and gids[0].size == 1:
            _put(f"/proc/{pid}/setgroups", b"deny")
            if _put(f"/proc/{pid}/gid_map", _lines(gids)):
                return
        _by_helper("newgidmap", pid, gids)


def _lines(mappings: tuple[IDMapping, ...]) -> bytes:
    return "".join([f"{each.containerID} {each.hostID} {each.size}\n" for each in mappings]).encode()


def _put(path: str, data: bytes) -> bool:
    """Write a map in one piece, as the kernel wants it; False when we lack the permission."""
    if not data:
        return True
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            return False
        raise from_oserror(error, f"write id map {path}") from error
    return True


def _by_helper(program: str, pid: int, mappings: tuple[IDMapping, ...]) -> None:
    path = next(
        (f"{place}/{program}" for place in ("/usr/bin", "/bin") if os.access(f"{place}/{program}", os.X_OK)), None
    )
    if path is None:
        raise FailedPrecondition(f"write id maps: permission denied, and {program} is not installed (package uidmap)")
    arguments = [str(number) for each in mappings for number in (each.containerID, each.hostID, each.size)]
    child = os.posix_spawn(path, [program, str(pid), *arguments], {})
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        raise FailedPrecondition(
            f"{program} {' '.join(arguments)}: exit status {status}, see /etc/subuid and /etc/subgid"
        )

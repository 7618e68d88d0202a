"""Shares of cache and memory bandwidth: the resctrl file system (Documentation/filesystems/resctrl.rst).

A directory is a class of service with ``tasks`` and ``schemata``; ``mon_groups/NAME`` in it counts some of those tasks
apart. Removing one gives its tasks back to its parent. What the kernel has against a write is in info/last_cmd_status.
"""

from __future__ import annotations

import os

from utsuwa.errors import Conflict, Error, FailedPrecondition, NotFound, from_oserror
from utsuwa.linux.host import read_file
from utsuwa.spec.record import Record

DEFAULT_CLASS = "/"
"""The closID of the class that everybody is in who is in no other."""


def mount_point() -> str:
    """Where resctrl is mounted. Raises FailedPrecondition when it is not."""
    for line in read_file("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(b" - ")
        if after.startswith(b"resctrl "):
            return os.fsdecode(before.split(b" ")[4])
    raise FailedPrecondition(
        "linux.intelRdt: no resctrl file system is mounted here: the processor needs RDT, then run "
        "mount -t resctrl resctrl /sys/fs/resctrl"
    )


class Group(Record):
    """The directories of one container. ``made``: the class came with the container and goes with it.

    A class with a name of its own (``linux.intelRdt.closID``) is left for others to use, whoever made it.
    """

    root: str
    path: str
    monitor: str = ""
    made: bool = False

    def make(self, schemata: tuple[str, ...]) -> None:
        """Make what is missing, and share out by ``schemata``; what is there already must say the same.

        Raises NotFound for a class that has no schemata and is not there, Conflict for one that shares out differently,
        and what the kernel says.
        """
        if os.path.isdir(self.path):
            _compare(self.path, schemata)
        else:
            if not schemata and not self.made:
                raise NotFound(f"linux.intelRdt.closID: there is no class {self.path}, and no schemata to make it with")
            self._make_directory(self.path)
            self._share_out(schemata)
        if self.monitor:
            self._make_directory(self.monitor)

    def share_out(self, schemata: tuple[str, ...]) -> None:
        """Change what the class gets. Raises what the kernel says."""
        self._share_out(schemata)

    def directories(self) -> tuple[str, ...]:
        """Whose ``tasks`` the container's processes join, in this order."""
        return (self.path, self.monitor) if self.monitor else (self.path,)

    def remove(self) -> None:
        """Remove what came with the container."""
        for path in (self.monitor, self.path if self.made else ""):
            if path:
                try:
                    os.rmdir(path)
                except FileNotFoundError:
                    pass
                except OSError as error:
                    raise from_oserror(error, f"remove {path}") from error

    def _make_directory(self, path: str) -> None:
        try:
            os.mkdir(path, 0o755)
        except FileExistsError:
            pass
        except OSError as error:
            raise self._explained(error, f"linux.intelRdt: make {path}") from error

    def _share_out(self, schemata: tuple[str, ...]) -> None:
        if not schemata:
            return
        path = f"{self.path}/schemata"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
            try:
                os.write(descriptor, "".join([f"{line}\n" for line in schemata]).encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._explained(error, f'linux.intelRdt: write "{", ".join(schemata)}" to {path}') from error

    def _explained(self, error: OSError, context: str) -> Error:
        """The error, with what the kernel has noted about its last command."""
        explained = from_oserror(error, context)
        try:
            status = os.fsdecode(read_file(f"{self.root}/info/last_cmd_status").strip())
        except OSError:
            return explained
        return type(explained)(f"{explained}, last_cmd_status: {status}") if status != "ok" else explained


def group(closid: str | None, identifier: str, monitoring: bool) -> Group:
    """The directories for a container with that class (None: one of its own); nothing is made yet."""
    root = mount_point()
    path = root if closid == DEFAULT_CLASS else f"{root}/{closid or identifier}"
    monitor = f"{path}/mon_groups/{identifier}" if monitoring else ""
    return Group(root=root, path=path, monitor=monitor, made=not closid and not os.path.isdir(path))


def _compare(path: str, schemata: tuple[str, ...]) -> None:
    """A class that is there must share out as it is wanted (config-linux.md#intelrdt)."""
    if not schemata:
        return
    try:
        present = _shares(os.fsdecode(read_file(f"{path}/schemata")).splitlines())
    except OSError as error:
        raise from_oserror(error, f"read {path}/schemata") from error
    for key, value in _shares(schemata).items():
        if present.get(key) != value:
            name = ":".join(key)
            raise Conflict(f"linux.intelRdt: the class {path} is there already, and shares {name} out differently")


def _shares(lines: list[str] | tuple[str, ...]) -> dict[tuple[str, str], int | str]:
    """(resource, domain) -> share of lines as ``L3:0=7f0;1=1f``: a bit mask of caches, a number of bandwidths."""
    found: dict[tuple[str, str], int | str] = {}
    for line in lines:
        resource, _, domains = line.strip().partition(":")
        for domain in domains.split(";"):
            number, equals, share = domain.strip().partition("=")
            if equals:
                try:
                    found[resource.strip(), number] = int(share, 16 if resource.strip().startswith("L") else 10)
                except ValueError:
                    found[resource.strip(), number] = share
    return found

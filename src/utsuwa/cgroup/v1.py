"""Cgroup v1: a directory in each hierarchy; on a hybrid host also one in the cgroup2 tree, which has no controllers.

The cgroup2 directory is worth its 0.1 ms: ``cgroup.kill`` there kills a fork bomb at once. It is best effort, like all
that v1 does with a hierarchy that nobody set a limit in.
"""

from __future__ import annotations

import os
import time

from utsuwa import errors
from utsuwa.cgroup import tree
from utsuwa.cgroup.directory import Directory, Top

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.cgroup.journal import Journal
    from utsuwa.cgroup.manager import Join
    from utsuwa.spec.runtime import Resources

_SIGKILL = 9
_FREEZE_TRIES = 1000
_THAW_EVERY = 50
_LONGEST_PAUSE = 0.01


class V1Manager:
    """A container's cgroups of version 1. Implements ``manager.Manager``.

    ``mounts`` has the mount point of each hierarchy by its controllers as the kernel joins them (``cpu,cpuacct``,
    ``name=systemd``, "" for cgroup2), ``paths`` the container's directory by the same keys. ``unprivileged`` says that
    we may lack permissions: devices are then guarded as far as possible, as we are guarded ourselves; and if the place
    is ``optional``, nobody having asked for it, hierarchies that we can't write to are left out.
    """

    def __init__(
        self, mounts: dict[str, str], paths: dict[str, str], *, unprivileged: bool = False, optional: bool = False
    ) -> None:
        self._mounts = mounts
        self._paths = paths
        self._unprivileged = unprivileged
        self._optional = optional
        self.fresh = True
        self._begun: list[str] | None = None

    def begin(self) -> bool:
        """See Manager.begin. With no cgroup2 mounted there is nothing to be born in, and nothing to make."""
        if self._unprivileged:
            return False
        if "" not in self._paths:
            self._begun = []
        else:
            self._begun = self._make("", None) or None
        return self._begun is not None

    def retreat(self) -> None:
        """See Manager.retreat."""
        for path in reversed(self._begun or ()):
            tree.remove(path)

    def create(self, resources: Resources | None = None, *, vacant: bool = True) -> None:
        """See Manager.create."""
        made: list[str] = []
        try:
            with Top(self._mounts.values()) as top:
                self._make_all(made, top)
                if vacant:
                    self._check_vacant(top)
            if resources is not None and resources.cpu is not None:
                from utsuwa.cgroup import resources_v1

                resources_v1.prepare(self.directories(), resources)
        except BaseException:
            tree.unmake(made)
            raise

    def _make_all(self, made: list[str], top: Top) -> None:
        """Make the cgroup in each hierarchy, and tell which directories there were not before."""
        for controllers in tuple(self._paths):
            if self._begun is not None and not controllers:
                continue
            fresh = self._make(controllers, top)
            made += fresh
            self.fresh = self.fresh and bool(fresh)

    def _make(self, controllers: str, top: Top | None) -> list[str]:
        path = self._paths[controllers]
        made: list[str] = []
        try:
            made = tree.make(path, top)
            if controllers == "cpuset" or "cpuset" in controllers.split(","):
                _inherit_cpuset(path, self._mounts[controllers], top, is_new=bool(made))
        except errors.Error as error:
            tree.unmake(made)
            if controllers and not (self._optional and isinstance(error, errors.PermissionDenied)):
                raise
            del self._paths[controllers]
            return []
        return made

    def _check_vacant(self, top: Top) -> None:
        """Refuse a cgroup in use (runc counts in `devices`), or that would stop the container at its first step."""
        directories = self.directories()
        if not self.fresh and directories:
            count = len(tree.processes(directories.get("devices") or next(iter(directories.values()))))
            if count:
                raise errors.FailedPrecondition(f"container's cgroup is not empty: {count} process(es) found")
        if self.frozen(top):
            raise errors.FailedPrecondition("container's cgroup unexpectedly frozen")

    def directories(self) -> dict[str, str]:
        """See Manager.directories."""
        return {name: path for joint, path in self._paths.items() for name in joint.split(",")}

    def join(self) -> Join:
        """See Manager.join."""
        from utsuwa.cgroup.manager import Join

        return Join(self._paths.get("", ""), tuple(path for joint, path in self._paths.items() if joint))

    def apply(self, resources: Resources, *, devices: bool = True, journal: Journal | None = None) -> None:
        """See Manager.apply."""
        from utsuwa.cgroup import devices_v1, resources_v1

        directories = self.directories()
        denied = frozenset(name for joint in self._mounts if joint not in self._paths for name in joint.split(","))
        resources_v1.apply(directories, resources, journal, denied if self._unprivileged else frozenset())
        if not devices:
            return
        try:
            devices_v1.apply(directories.get("devices"), resources.devices)
        except (errors.PermissionDenied, errors.FailedPrecondition):
            if not self._unprivileged:
                raise

    def delegate(self, uid: int) -> None:
        """Nothing: on v1 a cgroup in other hands is a way out (release_agent), and the specification rules it out."""

    def device_lines(self, resources: Resources | None) -> tuple[str, ...]:
        """See Manager.device_lines. A cgroup that was there before may have children, and takes no new default then."""
        if self._unprivileged or not self.fresh or "devices" not in self.directories():
            return ()
        from utsuwa.cgroup import devices_v1

        return devices_v1.lines(resources.devices if resources is not None else None)

    def device_program(self, resources: Resources | None) -> bytes | None:
        """None: on v1 the kernel's own `devices` controller decides, and apply() writes its lists."""
        return None

    def pids(self, recursive: bool = True) -> list[int]:
        """See Manager.pids."""
        directories = self.directories()
        first = directories.get("devices") or next((path for name, path in directories.items() if name), None)
        first = first or directories.get("")
        return sorted(tree.processes(first, recursive)) if first else []

    def kill(self, signal: int) -> None:
        """See Manager.kill.

        ``cgroup.kill`` reaches what is in the cgroup2 directory; processes that are in the v1 ones only (joined by
        another tool) are frozen first, so that none forks away while the others are killed.
        """
        if signal != _SIGKILL:
            _signal(self.pids(), signal)
            return
        members = set(self.pids())
        if not members:
            return
        unified = self._paths.get("", "")
        if unified:
            members -= _kill_unified(unified)
        if members:
            self._kill_frozen()
        elif self.frozen():
            self.thaw()

    def _kill_frozen(self) -> None:
        freezable = self._freezer() is not None
        try:
            if freezable:
                self.freeze()
        except errors.Error:
            pass  # as good as not frozen: what we find now is killed
        try:
            _signal(self.pids(), _SIGKILL)
        finally:
            if freezable:
                self.thaw()

    def freeze(self) -> None:
        """See Manager.freeze (kernel Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst)."""
        path = self._freezer()
        if path is None:
            raise self._no_freezer("freeze")
        try:
            with Directory(path) as freezer:
                if _freeze(freezer):
                    return
        except BaseException:
            self.thaw()
            raise
        self.thaw()
        raise errors.FailedPrecondition(f"freeze cgroup {path}: processes did not stop in time")

    def thaw(self) -> None:
        """See Manager.thaw."""
        path = self._freezer()
        if path is None:
            raise self._no_freezer("thaw")
        with Directory(path) as freezer:
            freezer.write("freezer.state", "THAWED")

    def frozen(self, top: Top | None = None) -> bool:
        """See Manager.frozen. A frozen parent freezes its children too."""
        path = self._freezer()
        if path is None:
            return False
        try:
            with Directory(path, top=top) as freezer:
                return (freezer.peek("freezer.state") or "THAWED") != "THAWED"
        except errors.NotFound:
            return False

    def _no_freezer(self, verb: str) -> errors.Error:
        if self._unprivileged:
            return errors.FailedPrecondition(f"{verb}: the container has no cgroup of its own")
        return errors.FailedPrecondition(f"{verb}: the freezer controller (cgroup v1) is not mounted")

    def _freezer(self) -> str | None:
        return self.directories().get("freezer")

    def remove(self) -> None:
        """See Manager.remove. Tries every hierarchy before it reports the first that could not be removed."""
        failed: errors.Error | None = None
        with Top(self._mounts.values()) as top:
            for path in self._paths.values():
                try:
                    tree.remove(path, top)
                except errors.Error as error:
                    failed = failed or error
        if failed is not None:
            raise failed

    def oom_kills(self) -> int:
        """See Manager.oom_kills (since Linux 4.13)."""
        from utsuwa.cgroup.stats import flat

        path = self.directories().get("memory")
        if path is None:
            return 0
        try:
            with Directory(path) as memory:
                return flat(memory.peek("memory.oom_control")).get("oom_kill", 0)
        except errors.NotFound:
            return 0

    def stats(self) -> dict[str, Any]:
        """See Manager.stats."""
        from utsuwa.cgroup import stats_v1

        return stats_v1.collect(self.directories())

    def save(self) -> dict[str, Any]:
        """See Manager.save."""
        return {
            "version": "v1",
            "mounts": self._mounts,
            "paths": dict(self._paths),  # some may turn out not to be ours, and what was said stays
            "unprivileged": self._unprivileged,
        }


def _inherit_cpuset(path: str, mount: str, top: Top | None, is_new: bool) -> None:
    """A new cpuset has no CPU and no memory node, and a process can't join it: give it those of its parent."""
    with Directory(path, top=top) as cpuset:
        missing = [key for key in ("cpuset.cpus", "cpuset.mems") if is_new or not cpuset.peek(key)]
        for key, value in _inherited(path.rpartition("/")[0], mount, top, missing).items():
            cpuset.write(key, value)


def _inherited(path: str, mount: str, top: Top | None, keys: list[str]) -> dict[str, str]:
    """The values of ``keys`` in ``path``, filled in from its parents where they are empty."""
    if not keys:
        return {}
    with Directory(path, top=top) as cpuset:
        values = {key: cpuset.read(key) for key in keys}
        if len(path) > len(mount):
            filled = _inherited(path.rpartition("/")[0], mount, top, [key for key in keys if not values[key]])
            for key, value in filled.items():
                cpuset.write(key, value)
            values |= filled
    return values


def _freeze(freezer: Directory) -> bool:
    """Ask until all are frozen; False after too many tries.

    FROZEN is written again each time for processes that came meanwhile; one that can't freeze where it waits (on a
    FUSE server that is frozen already, say) gets a moment to go on.
    """
    pause = 0.0
    for attempt in range(_FREEZE_TRIES):
        if attempt % _THAW_EVERY == _THAW_EVERY - 1:
            freezer.write("freezer.state", "THAWED")
            time.sleep(pause)
        freezer.write("freezer.state", "FROZEN")
        if freezer.read("freezer.state") == "FROZEN":
            return True
        time.sleep(pause)
        pause = min(pause + 0.0001, _LONGEST_PAUSE)
    return False


def _kill_unified(path: str) -> set[int]:
    """Kill what is in the cgroup2 directory by ``cgroup.kill`` (Linux 5.14); the processes that were there."""
    members = tree.processes(path)
    if not members:
        return members
    try:
        with Directory(path) as unified:
            return members if unified.attempt("cgroup.kill", "1") is None else set()
    except errors.NotFound:
        return set()


def _signal(pids: list[int], signal: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal)
        except ProcessLookupError:
            continue
        except OSError as error:
            raise errors.from_oserror(error, f"signal process {pid}") from error

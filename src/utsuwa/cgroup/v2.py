"""Cgroup v2: one directory in the one tree (kernel Documentation/admin-guide/cgroup-v2.rst)."""

from __future__ import annotations

import os
import time

from utsuwa import errors
from utsuwa.cgroup import tree
from utsuwa.cgroup.directory import Directory, failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.cgroup.journal import Journal
    from utsuwa.cgroup.manager import Join
    from utsuwa.spec.runtime import Resources

_SIGKILL = 9
_FREEZE_SECONDS = 10.0


class V2Manager:
    """A container's cgroup of version 2 at ``path`` below the cgroup2 mount ``top``. Implements ``manager.Manager``.

    ``unprivileged`` says that we may lack permissions: loading a device program always takes one. If the place is
    ``optional``, nobody having asked for it, a cgroup that we can't make is done without; ``absent`` records that.
    """

    def __init__(
        self, top: str, path: str, *, unprivileged: bool = False, optional: bool = False, absent: bool = False
    ) -> None:
        self._top = top
        self._path = path
        self._unprivileged = unprivileged
        self._optional = optional
        self._absent = absent
        self.fresh = True

    def begin(self) -> bool:
        """See Manager.begin: there is one directory only."""
        return False

    def retreat(self) -> None:
        """See Manager.retreat."""

    def create(self, resources: Resources | None = None, *, vacant: bool = True) -> None:
        """See Manager.create. Gives the cgroup every controller that its ancestors can hand down."""
        try:
            made = tree.make(self._path)
        except errors.PermissionDenied:
            if not self._optional:
                raise
            self._absent = True
            return
        try:
            enable_controllers(self._top, self._path)
            self.fresh = bool(made)
            if vacant:
                self._check_vacant(self.fresh)
        except BaseException:
            tree.unmake(made)
            raise

    def _check_vacant(self, fresh: bool) -> None:
        with Directory(self._path) as cgroup:
            _make_domain(cgroup)
            events = _flat(cgroup.peek("cgroup.events") or "")
        if not fresh and events.get("populated") != "0":
            count = len(tree.processes(self._path))
            if count:
                raise errors.FailedPrecondition(f"container's cgroup is not empty: {count} process(es) found")
        if events.get("frozen") == "1":  # also when a parent is
            raise errors.FailedPrecondition("container's cgroup unexpectedly frozen")

    def join(self) -> Join:
        """See Manager.join."""
        from utsuwa.cgroup.manager import Join

        return Join("" if self._absent else self._path, ())

    def directories(self) -> dict[str, str]:
        """See Manager.directories."""
        return {} if self._absent else {"": self._path}

    def apply(self, resources: Resources, *, devices: bool = True, journal: Journal | None = None) -> None:
        """See Manager.apply. Device rules are not written but attached: device_program()."""
        from utsuwa.cgroup import resources_v2

        if self._absent:
            resources_v2.refuse_without_cgroup(resources)
            return
        resources_v2.apply(self._path, resources, journal)

    def delegate(self, uid: int) -> None:
        """See Manager.delegate."""
        if self._absent:
            return
        with Directory(self._path) as cgroup:
            for key in _delegated():
                try:
                    os.chown(key, uid, -1, dir_fd=cgroup.fd, follow_symlinks=False)
                except FileNotFoundError:
                    continue  # a file of a controller that is not enabled here
                except OSError as error:
                    if self._unprivileged:
                        return  # it stays with who has it: the specification asks for nothing that can't be done
                    raise failure(error, f"give {self._path}/{key} to user {uid}") from error

    def device_lines(self, resources: Resources | None) -> tuple[str, ...]:
        """See Manager.device_lines: none, a program decides."""
        return ()

    def device_program(self, resources: Resources | None) -> bytes | None:
        """See Manager.device_program."""
        from utsuwa.cgroup import device_program, devices

        if self._absent or self._unprivileged:
            return None
        rules = resources.devices if resources is not None else None
        return device_program.assemble(devices.wanted(rules or []))

    def pids(self, recursive: bool = True) -> list[int]:
        """See Manager.pids."""
        return [] if self._absent else sorted(tree.processes(self._path, recursive))

    def kill(self, signal: int) -> None:
        """See Manager.kill. SIGKILL is one write to ``cgroup.kill`` (Linux 5.14), which no fork escapes."""
        if self._absent:
            return
        if signal == _SIGKILL:
            try:
                with Directory(self._path) as cgroup:
                    if cgroup.attempt("cgroup.kill", "1") is None:
                        return
            except errors.NotFound:
                return
        for pid in self.pids():
            try:
                os.kill(pid, signal)
            except ProcessLookupError:
                continue
            except OSError as error:
                raise errors.from_oserror(error, f"signal process {pid}") from error

    def freeze(self) -> None:
        """See Manager.freeze."""
        self._need_cgroup("freeze")
        with Directory(self._path) as cgroup:
            cgroup.write("cgroup.freeze", "1")
            try:
                if _await_event(cgroup, "frozen", "1", _FREEZE_SECONDS):
                    return
            except BaseException:
                cgroup.attempt("cgroup.freeze", "0")
                raise
            cgroup.write("cgroup.freeze", "0")
        raise errors.FailedPrecondition(f"freeze cgroup {self._path}: processes did not stop in time")

    def thaw(self) -> None:
        """See Manager.thaw."""
        self._need_cgroup("thaw")
        with Directory(self._path) as cgroup:
            cgroup.write("cgroup.freeze", "0")

    def frozen(self) -> bool:
        """See Manager.frozen. A frozen parent freezes its children too."""
        if self._absent:
            return False
        try:
            with Directory(self._path) as cgroup:
                if cgroup.peek("cgroup.freeze") == "1":
                    return True
                return _flat(cgroup.peek("cgroup.events") or "").get("frozen") == "1"
        except errors.NotFound:
            return False

    def _need_cgroup(self, verb: str) -> None:
        if self._absent:
            raise errors.FailedPrecondition(f"{verb}: the container has no cgroup of its own")

    def remove(self) -> None:
        """See Manager.remove."""
        if not self._absent:
            tree.remove(self._path)

    def oom_kills(self) -> int:
        """See Manager.oom_kills."""
        from utsuwa.cgroup.stats import flat

        if self._absent:
            return 0
        try:
            with Directory(self._path) as cgroup:
                return flat(cgroup.peek("memory.events")).get("oom_kill", 0)
        except errors.NotFound:
            return 0

    def stats(self) -> dict[str, Any]:
        """See Manager.stats."""
        from utsuwa.cgroup import stats_v2

        return {} if self._absent else stats_v2.collect(self._path)

    def save(self) -> dict[str, Any]:
        """See Manager.save."""
        return {
            "version": "v2",
            "mount": self._top,
            "path": self._path,
            "unprivileged": self._unprivileged,
            "absent": self._absent,
        }


def enable_controllers(top: str, path: str) -> None:
    """Have the cgroup ``path`` offered every controller there is, from ``top`` downwards.

    Best effort: a controller that an ancestor can't hand down, since it has processes of its own, is missed only when
    a limit needs it, and reported then. In the usual case all is enabled already and this only reads.
    """
    current = top
    for component in path[len(top) :].strip("/").split("/"):
        with Directory(current) as cgroup:
            offered = (cgroup.peek("cgroup.controllers") or "").split()
            enabled = (cgroup.peek("cgroup.subtree_control") or "").split()
            missing = [f"+{name}" for name in offered if name not in enabled]
            # All at once is one write; but one that is refused (cpu, with real-time tasks about) refuses all.
            if missing and cgroup.attempt("cgroup.subtree_control", " ".join(missing)) is not None:
                for name in missing:
                    cgroup.attempt("cgroup.subtree_control", name)
        current = f"{current}/{component}"


def _delegated() -> list[str]:
    """Names that change hands with a cgroup, the directory itself (".") first; Linux lists them since 4.15."""
    try:
        with Directory("/sys/kernel/cgroup") as kernel:
            files = (kernel.peek("delegate") or "").split()
    except errors.NotFound:
        files = []
    return [".", *(files or ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads"))]


def _make_domain(cgroup: Directory) -> None:
    """A cgroup below a threaded one is `domain invalid`: no process can join it. Say what to do."""
    if cgroup.peek("cgroup.type") == "domain invalid":
        raise errors.FailedPrecondition(
            f"cgroup {cgroup.path} is below a threaded cgroup and can't hold processes: choose another cgroupsPath"
        )


def _await_event(cgroup: Directory, name: str, value: str, seconds: float) -> bool:
    """Wait until ``cgroup.events`` says ``name value``; the kernel wakes pollers at every change."""
    import select

    fd = os.open("cgroup.events", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=cgroup.fd)
    try:
        watch = select.poll()
        watch.register(fd, select.POLLPRI)
        deadline = time.monotonic() + seconds
        while _flat(os.pread(fd, 4096, 0).decode()).get(name) != value:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            watch.poll(left * 1000)
        return True
    finally:
        os.close(fd)


def _flat(text: str) -> dict[str, str]:
    """A flat keyed file (`populated 1`) as a dictionary."""
    return dict(line.split(None, 1) for line in text.splitlines() if " " in line)

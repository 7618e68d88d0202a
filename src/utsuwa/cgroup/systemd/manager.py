"""A container's cgroup as a unit of systemd; what that has no property for goes to the files, by the other managers.

A scope can't be without processes: systemd makes it around one that is there already. That is stage 1 of the plan: it
asks to be put into its scope (``admit``), and the child that it clones then is born there, without rights of its own.
"""

from __future__ import annotations

from utsuwa import errors
from utsuwa.cgroup.systemd import names, properties
from utsuwa.cgroup.systemd.bus import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from utsuwa.cgroup.journal import Journal
    from utsuwa.cgroup.manager import Join, Manager
    from utsuwa.cgroup.systemd.bus import Bus
    from utsuwa.cgroup.systemd.properties import Property
    from utsuwa.linux.host import Host
    from utsuwa.spec.runtime import Resources

_SYSTEMD = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
_JOBS = (
    "type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'"
)
_ACCOUNTING = ("CPUAccounting", "MemoryAccounting", "TasksAccounting")


def open_manager(
    host: Host, cgroups_path: str | None, container_id: str, annotations: Mapping[str, str] | None = None
) -> SystemdManager:
    """The manager for ``linux.cgroupsPath`` as ``slice:prefix:name``, with the properties that ``annotations`` set.

    Makes nothing yet. Without privileges the unit is the user's. InvalidArgument for a path or an annotation that is
    not understood, FailedPrecondition when the host has no cgroup mount.
    """
    from utsuwa.cgroup.systemd import annotations as texts

    user = host.euid != 0 or host.in_user_namespace
    parent, unit = names.unit_of(cgroups_path, container_id, "user.slice" if user else "system.slice")
    place = names.expand_slice(unit) if unit.endswith(".slice") else f"{names.expand_slice(parent)}/{unit}"
    extra = texts.properties(annotations)
    base = _manager_of_user(host) if user else ""
    return SystemdManager(_files(host, base + place), parent, unit, user=user, extra=extra, host=host)


def _files(host: Host, place: str) -> Manager:
    from utsuwa.cgroup.filesystem import open_manager as open_files

    return open_files(host, place, "")


def _manager_of_user(host: Host) -> str:
    """Where the user's systemd is: we may be in its cgroup ourselves; else where systemd starts it.

    After the start of a unit it is looked up where it really is; until then this is only looked at.
    """
    own = host.cgroup_paths.get("name=systemd") or host.cgroup_paths.get("", "/")
    head, found, rest = own.partition("/user@")
    if found:
        return f"{head}/user@{rest.partition('/')[0]}"
    return f"/user.slice/user-{host.euid}.slice/user@{host.euid}.service"


class SystemdManager:
    """Implements ``manager.Manager``, and lets a process in that asks for it.

    ``files`` manages the same cgroup by its files. ``user``: the unit is one of the user's systemd. ``extra``:
    properties that have the last word. ``started``: the unit is there. ``host``: we are who creates the container.
    """

    def __init__(
        self,
        files: Manager,
        parent: str,
        unit: str,
        *,
        user: bool,
        extra: list[Property] | None = None,
        started: bool = False,
        host: Host | None = None,
    ) -> None:
        self.unit = unit
        self._files = files
        self._parent = parent
        self._user = user
        self._extra = extra or []
        self._started = started
        self._host = host
        self.fresh = True

    # --- the unit ---------------------------------------------------------------------------------------------------

    def begin(self) -> bool:
        """See Manager.begin: systemd makes the cgroup."""
        return False

    def retreat(self) -> None:
        """See Manager.retreat."""

    def create(self, resources: Resources | None = None, *, vacant: bool = True) -> None:
        """See Manager.create. Only looks whether the cgroup is free; a slice, which needs no process, is made."""
        members = len(self._files.pids())
        if members:
            raise errors.FailedPrecondition(f"container's cgroup is not empty: {members} process(es) found")
        if self._files.frozen():
            raise errors.FailedPrecondition("container's cgroup unexpectedly frozen")
        if self._is_slice:
            with self._connect() as bus:
                self._start(bus, [], resources)
            self._files.create(resources, vacant=False)

    def admit(self, pid: int, resources: Resources | None = None) -> None:
        """Put process ``pid`` into the unit; the first one starts it, with the limits that ``resources`` asks for."""
        with self._connect() as bus:
            if self._started:
                try:
                    bus.call(*_SYSTEMD, "AttachProcessesToUnit", "ssau", self.unit, "", [pid])
                except Refusal as refusal:
                    raise refusal.error(f"put process {pid} into systemd unit {self.unit}") from refusal
                return
            self._start(bus, [pid], resources)
        self._locate(pid)
        self._files.create(resources, vacant=False)

    def _start(self, bus: Bus, pids: list[int], resources: Resources | None) -> None:
        wanted = self._properties(pids, resources)
        bus.tell(*_SYSTEMD, "ResetFailedUnit", "s", self.unit)  # a dead one of that name would be in the way
        try:
            self._started = True  # from here on it may be there, whatever happens to us
            result = self._job(bus, "StartTransientUnit", "ssa(sv)a(sa(sv))", self.unit, "replace", wanted, [])
        except Refusal as refusal:
            self._started = False
            raise refusal.error(f"unable to start systemd unit {self.unit}") from refusal
        if result != "done":
            raise errors.FailedPrecondition(f'error creating systemd unit "{self.unit}": got "{result}"')

    def _properties(self, pids: list[int], resources: Resources | None) -> list[Property]:
        parent = names.slice_name(self._parent)
        found: list[Property] = [("Description", "s", f"utsuwa container {self.unit}")]
        if self._is_slice:
            found.append(("Wants", "as", [parent]))
        else:
            found += [("Slice", "s", parent), ("PIDs", "au", pids), ("Delegate", "b", True)]
        found.append(("DefaultDependencies", "b", False))
        found += [
            (name, "b", True) for name in (*_ACCOUNTING, "IOAccounting" if self._unified else "BlockIOAccounting")
        ]
        if resources is not None:
            found += properties.of(resources, unified=self._unified)
        if not self._user:
            from utsuwa.cgroup import devices

            found += properties.device_policy(devices.wanted((resources and resources.devices) or ()))
        return list({each[0]: each for each in (*found, *self._extra)}.values())

    def _job(self, bus: Bus, method: str, signature: str, *values: Any) -> str:
        """Start a job and wait for its result, ``done`` when all is well."""
        bus.listen(_JOBS)
        bus.tell(*_SYSTEMD, "Subscribe")
        (job,) = _without_optional(bus, method, signature, *values)
        return str(bus.await_signal("JobRemoved", lambda body: body[1:2] == (job,))[3])

    def _locate(self, pid: int) -> None:
        """Find the unit where systemd has put it: its own place in the tree is not ours to know."""
        from utsuwa.linux.host import cgroups_of

        if self._host is None:
            return
        paths = cgroups_of(pid)
        place = paths.get("" if self._unified else "name=systemd") or paths.get("", "")
        if place.rpartition("/")[2] != self.unit:
            raise errors.FailedPrecondition(
                f"systemd unit {self.unit}: its process is in {place or 'no cgroup'} instead"
            )
        self._files = _files(self._host, place)

    def _connect(self) -> Bus:
        from utsuwa.cgroup.systemd import bus

        return bus.connect_user() if self._user else bus.connect_system()

    @property
    def _is_slice(self) -> bool:
        return self.unit.endswith(".slice")

    @property
    def _unified(self) -> bool:
        return bool(self._files.save()["version"] == "v2")

    def apply(self, resources: Resources, *, devices: bool = True, journal: Journal | None = None) -> None:
        """See Manager.apply. What the unit was started with is not set again; files have the last, exact word."""
        self._files.apply(resources, devices=devices, journal=journal)
        if self._host is not None:
            return
        quota, period = self._quota()
        wanted = properties.of(resources, unified=self._unified, quota=(quota, period))
        if wanted:
            try:
                with self._connect() as bus:
                    _without_optional(bus, "SetUnitProperties", "sba(sv)", self.unit, True, wanted)
            except Refusal as refusal:
                raise refusal.error(f"unable to set properties of systemd unit {self.unit}") from refusal
            if resources.cpu is not None and (resources.cpu.quota or resources.cpu.period):
                # systemd forgets the period of no quota.
                resources = resources.replace(cpu=resources.cpu.replace(quota=quota, period=period))
            self._files.apply(resources, devices=False, journal=journal)

    def _quota(self) -> tuple[int | None, int | None]:
        """Quota and period as the files have them."""
        from utsuwa.cgroup.directory import Directory

        keys = ("cpu.max",) if self._unified else ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        path = self._files.directories().get("" if self._unified else "cpu")
        if path is None:
            return None, None
        with Directory(path) as cgroup:
            words = " ".join([cgroup.peek(key) or "" for key in keys]).split()
        if len(words) != 2:
            return None, None
        return -1 if words[0] == "max" else int(words[0]), int(words[1])

    def remove(self) -> None:
        """See Manager.remove. The unit goes, failed ones too; without systemd what is left of the directories."""
        if self._started:
            if self._files.pids():
                raise errors.FailedPrecondition(f"systemd unit {self.unit}: still in use by a process")
            try:
                bus = self._connect()
            except (errors.Unavailable, errors.FailedPrecondition):
                pass  # nobody there to know the unit any more
            else:
                with bus:
                    self._stop(bus)
        self._files.remove()

    def _stop(self, bus: Bus) -> None:
        try:
            self._job(bus, "StopUnit", "ss", self.unit, "replace")
            bus.call(*_SYSTEMD, "ResetFailedUnit", "s", self.unit)
        except Refusal as refusal:
            if refusal.name != "org.freedesktop.systemd1.NoSuchUnit":
                raise refusal.error(f"stop systemd unit {self.unit}") from refusal

    # --- the files --------------------------------------------------------------------------------------------------

    def join(self) -> Join:
        """See Manager.join. ``admit`` lets the first process in, and any into a scope that we have no rights in."""
        from utsuwa.cgroup.manager import Join

        place = self._files.join()
        asked = not self._is_slice and (not self._started or self._user)
        return Join(place.unified, place.v1, self.unit if asked else "")

    def directories(self) -> dict[str, str]:
        """See Manager.directories."""
        return self._files.directories()

    def delegate(self, uid: int) -> None:
        """See Manager.delegate."""
        self._files.delegate(uid)

    def device_lines(self, resources: Resources | None) -> tuple[str, ...]:
        """See Manager.device_lines: none, systemd may have children in the unit by now."""
        return ()

    def device_program(self, resources: Resources | None) -> bytes | None:
        """See Manager.device_program."""
        return self._files.device_program(resources)

    def pids(self, recursive: bool = True) -> list[int]:
        """See Manager.pids."""
        return self._files.pids(recursive)

    def kill(self, signal: int) -> None:
        """See Manager.kill."""
        self._files.kill(signal)

    def freeze(self) -> None:
        """See Manager.freeze."""
        self._files.freeze()

    def thaw(self) -> None:
        """See Manager.thaw."""
        self._files.thaw()

    def frozen(self) -> bool:
        """See Manager.frozen."""
        return self._files.frozen()

    def oom_kills(self) -> int:
        """See Manager.oom_kills."""
        return self._files.oom_kills()

    def stats(self) -> dict[str, Any]:
        """See Manager.stats."""
        return self._files.stats()

    def save(self) -> dict[str, Any]:
        """See Manager.save."""
        return {"version": "systemd", "unit": self.unit, "user": self._user, "files": self._files.save()}


def load(saved: dict[str, Any]) -> SystemdManager:
    """The manager that ``SystemdManager.save()`` described; TypeError or KeyError when it is something else."""
    from utsuwa.cgroup.filesystem import load as load_files

    unit = saved["unit"]
    if not names.is_unit(unit):
        raise TypeError(f"unit {unit!r}")
    return SystemdManager(load_files(saved["files"]), "", unit, user=bool(saved["user"]), started=True)


def _without_optional(bus: Bus, method: str, signature: str, *values: Any) -> tuple[Any, ...]:
    """Call a method with a list of properties; again without those that may lack, if this systemd lacks them."""
    while True:
        marshalled = [_marshalled(value) if isinstance(value, list) else value for value in values]
        try:
            return bus.call(*_SYSTEMD, method, signature, *marshalled)
        except Refusal as refusal:
            unknown = {name for name in properties.OPTIONAL if f" {name}," in f"{refusal}"}
            kept = tuple(
                [each for each in value if each[0] not in unknown] if isinstance(value, list) else value
                for value in values
            )
            if kept == values:
                raise
            values = kept


def _marshalled(wanted: list[Property]) -> list[tuple[str, tuple[str, Any]]]:
    return [(name, (signature, value)) for name, signature, value in wanted]

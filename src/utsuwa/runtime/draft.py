"""What a creation can work out before it touches the host: cgroups, record, plan.

A draft can be made ahead of the moment in which it is wanted, and packed to be kept (kept.py).
"""

from __future__ import annotations

import os
from marshal import dumps, loads
from time import time_ns

from utsuwa.cgroup.filesystem import load, open_manager
from utsuwa.init.spawn import spawn
from utsuwa.plan import ahead, ops
from utsuwa.plan.create import create
from utsuwa.plan.options import CgroupJoin, CreateOptions
from utsuwa.runtime.ownership import cgroup_owner
from utsuwa.runtime.record import Document, encoded
from utsuwa.spec.record import Record
from utsuwa.spec.timestamp import utc

FIELDS = 2
"""The version of marshal's format in which equal objects have equal bytes."""
_SOME_DAY = "0000-00-00T00:00:00.000000000Z"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from utsuwa.cgroup.manager import Manager
    from utsuwa.init.spare import Spare
    from utsuwa.init.spawn import Child
    from utsuwa.linux.host import Host
    from utsuwa.plan.options import Program
    from utsuwa.plan.plan import Plan
    from utsuwa.runtime.bundle import Bundle
    from utsuwa.spec.mount import Mount
    from utsuwa.spec.runtime import Linux, Process, Resources, Spec


class CreateRequest(Record):
    """What `create` and `run` are asked: the bundle, and how to deal with it.

    ``bundle`` and the paths are absolute or relative to the working directory. ``console`` is a connected stream
    socket that takes the terminal's master, -1 without; ``foreground``: that is us, for a terminal of our own.
    ``preserve_fds``: how many descriptors from 3 on the process
    keeps, ``listen_fds`` how many listening sockets come before them.
    ``notify``: the service manager's socket (NOTIFY_SOCKET), "" for none.
    ``user``: a name to look up inside, instead of process.user. ``systemd_cgroup``: systemd makes the cgroup.
    ``network``: somebody sets up its network, and is given a socket for that.
    ``debug``: is shown the plan before it is carried out.
    """

    id: str
    bundle: str = ""
    console: int = -1
    foreground: bool = False
    pid_file: str = ""
    no_pivot: bool = False
    no_new_keyring: bool = False
    pidfd_socket: str = ""
    preserve_fds: int = 0
    listen_fds: int = 0
    notify: str = ""
    root_mounts: tuple[Mount, ...] = ()
    user: str | None = None
    init: bool = False
    systemd_cgroup: bool = False
    network: bool = False
    debug: Callable[[Plan], None] | None = None


class _Settled(Record):
    """What is left of a plan that is on the wire: enough to create by it, not enough to explain it.

    ``wire`` is for a spare executor, whose process asks for its cgroups if they come ``later``. ``guards``,
    ``asks_once``: see Started.
    """

    wire: bytes
    guards: bool
    warnings: tuple[str, ...]
    asks_once: bool
    later: bool


class Draft:
    """One creation on paper. ``recalled``: it is the one that was kept."""

    recalled = False

    def __init__(
        self,
        request: CreateRequest,
        bundle: Bundle,
        host: Host,
        manager: Manager,
        document: Document,
        resources: Resources | None,
    ) -> None:
        self._request, self.bundle, self._host = request, bundle, host
        self.manager, self.document, self.resources = manager, document, resources
        self._plan: Plan | None = None
        self._record = b""
        self._owner: tuple[int | None, ...] = ()
        self.settled: _Settled | None = None

    @classmethod
    def make(cls, request: CreateRequest, bundle: Bundle, host: Host) -> Self:
        """From a bundle; ``host``: what ``probe()`` told this process. The plan comes later."""
        manager = manager_for(request, bundle, host)
        return cls(request, bundle, host, manager, describe(request, bundle, manager), bundle.linux.resources)

    def record(self) -> bytes:
        """The document as it is going to be written down."""
        self._record = self._record or encoded(self.document)
        return self._record

    def ready(self, spare: Spare) -> None:
        """Do what leaves no trace, for a creation that is about to be asked for."""
        self.record()
        if self.settled:
            spare.hold(self.settled.wire)

    def settle(self, filters: str) -> None:
        """Make the plan for a spare executor, for a process that starts at once.

        Not where making the cgroups decides what is in it, nor where there are hooks, which are told of the process.
        """
        spec = self.bundle.spec
        if self._host.euid == 0 and not self._host.in_user_namespace and not spec.hooks and can_begin_ahead(spec):
            from utsuwa.init.encode import encode
            from utsuwa.init.spare import CHANNEL, numbers

            later = bool(self.manager.join().v1)
            plan = self._plan = self._make(False, filters, ahead.KINDS, later)
            self.settled = _Settled(
                wire=encode(plan.ops, numbers(self._slots()), CHANNEL),
                guards=_guards_devices(plan),
                warnings=plan.warnings,
                asks_once=_asks_once(plan),
                later=later,
            )

    def packed(self) -> bytes:
        """What ``unpacked`` reads, once it is settled; nothing of it tells when that was, or of annotations.

        The record is there twice: as it is in memory, and as it is going to be written down, in two parts around its
        date. Raises ValueError for a record that can't be kept.
        """
        root = self.bundle.spec.root
        assert self.settled is not None and root is not None
        document = self.document.replace(created=_SOME_DAY, annotations=None)
        text = encoded(document).split(_SOME_DAY.encode())
        return dumps((document.__dict__, text, root.path, self.settled.__dict__), FIELDS)

    def limits(self) -> bytes:
        """What ``unpacked`` takes besides: the resources, and whose the cgroup is; the same for all of a shape."""
        from utsuwa.spec.codec import encode

        return dumps((None if self.resources is None else encode(self.resources), self.owner()), FIELDS)

    @classmethod
    def unpacked(
        cls,
        packed: bytes,
        limits: tuple[Resources | None, int | None],
        annotations: dict[str, str] | None,
        request: CreateRequest,
        bundle: Bundle,
        host: Host,
    ) -> Self | None:
        """The draft again; None when the root file system is another directory by now, or none."""
        values, (before, after), root, settled = loads(packed)
        if request.root_mounts:  # it is a place of our caller's for these, and nothing that counts is in it
            bundle.take_root(values["rootfs"])
        elif not bundle.has_root(root, values["rootfs"]):
            return None
        created = values["created"] = now()
        if annotations is not None:
            values["annotations"] = annotations
            after = _beside(annotations, after)
        resources, owner = limits
        draft = cls(request, bundle, host, load(values["cgroup"]), Document.restored(values), resources)
        draft._record = before + created.encode() + after
        draft.recalled = True
        draft._owner = (owner,)
        draft.settled = _Settled.restored(settled)
        return draft

    def owner(self) -> int | None:
        """Whose the cgroup is going to be, besides root's."""
        if not self._owner:
            self._owner = (cgroup_owner(self.bundle.spec),)
        return self._owner[0]

    def can_start_first(self) -> bool:
        """Whether a spare executor can start the process before its cgroups are made, for which it will ask."""
        return self.settled is not None and self.settled.later

    def start_first(self, spare: Spare, slots: Mapping[str, int], filters: str, streams: bool = True) -> Started:
        """Have what is settled carried out. It holds for cgroups that were not there before: see ``manager.fresh``.

        Without ``streams`` it gets these when it is told of its cgroups.
        """
        settled = self.settled
        assert settled is not None

        def plan() -> Plan:
            return self._plan or self._make(False, filters, ahead.KINDS, settled.later)

        child = spare.go_on(settled.wire, plan, slots, streams)
        return Started(child, settled.warnings, settled.asks_once, settled.guards, settled.later)

    def start(self, spare: Spare | None, slots: Mapping[str, int], await_start: bool, filters: str) -> Started:
        """Have the plan carried out, now that the cgroups are made: one may have been there, which changes it."""
        settled = self.settled
        if settled and not settled.later and spare and not await_start and self.manager.fresh:
            return self.start_first(spare, slots, filters)
        if spare:
            spare.dismiss()
        plan = self._make(await_start, filters)
        if self._request.debug is not None:
            self._request.debug(plan)
        return Started(spawn(plan, slots), plan.warnings, _asks_once(plan), _guards_devices(plan))

    def _make(self, await_start: bool, filters: str, done: int = 0, later: bool = False) -> Plan:
        choices = options(self._request, self.bundle, self.manager, self.document, await_start, filters)
        if done:
            choices = choices.replace(ahead=done, cgroups_later=later)
        return create(self.bundle.spec, self._host, choices)

    def _slots(self) -> tuple[str, ...]:
        return (ops.CONSOLE_SOCKET,) if self._request.console >= 0 else ()


def unpacked_limits(packed: bytes) -> tuple[Resources | None, int | None]:
    """What ``Draft.limits`` gave, for ``Draft.unpacked``."""
    from utsuwa.spec.record import decode
    from utsuwa.spec.runtime import Resources

    resources, owner = loads(packed)
    return (None if resources is None else decode(Resources, resources)), owner


def _beside(annotations: object, after: bytes) -> bytes:
    """The rest of a record behind its date, which begins with a quotation mark, with annotations in it."""
    from utsuwa.spec.codec import dumps as dumped

    return b'","annotations":' + dumped(annotations).encode() + after[1:]


def _asks_once(plan: Plan) -> bool:
    return tuple([request for request in plan.requests() if request != ops.CGROUPS]) == (ops.READY,)


def _guards_devices(plan: Plan) -> bool:
    return any(type(op) is ops.WriteCgroup for op in plan.ops)


class Started:
    """A plan that is being carried out. ``asks_once``: its only question (but for CGROUPS) is READY.
    ``guards_devices``: the process writes the rules of its devices cgroup by itself. ``awaits_cgroups``: it asks for
    them.
    """

    __slots__ = ("asks_once", "awaits_cgroups", "child", "guards_devices", "warnings")

    def __init__(
        self,
        child: Child,
        warnings: tuple[str, ...],
        asks_once: bool,
        guards_devices: bool,
        awaits_cgroups: bool = False,
    ) -> None:
        self.child = child
        self.warnings = warnings
        self.asks_once = asks_once
        self.guards_devices = guards_devices
        self.awaits_cgroups = awaits_cgroups


def begin_ahead() -> Spare:
    """An executor that makes the slowest namespaces while the configuration is looked at."""
    from utsuwa.init.spare import Spare

    return Spare(ahead.begin())


def may_begin_ahead(request: CreateRequest) -> bool:
    """Not with descriptors that it should inherit or be given: their numbers may be beyond what its limit allows."""
    special = request.preserve_fds or request.listen_fds or request.notify or request.systemd_cgroup or request.debug
    return not special and request.console < 0 and os.geteuid() == 0


def foreseen(document: object) -> bool:
    """What ``can_begin_ahead`` will say of a configuration that nobody has checked yet."""
    try:
        kinds = {each["type"]: each.get("path") for each in document["linux"]["namespaces"]}  # type: ignore[index]
        found = document["hostname"] and not (document.get("hooks") or document["process"].get("terminal"))  # type: ignore[index,attr-defined]
    except (AttributeError, KeyError, TypeError):
        return False
    return bool(found) and "user" not in kinds and all(kinds.get(kind, "no") in (None, "") for kind in _KINDS)


_KINDS = ("network", "ipc", "uts", "mount")


def can_begin_ahead(spec: Spec) -> bool:
    """Whether a container is made in new namespaces of these kinds, that are not owned by a user namespace of its own.

    A new uts namespace has the host's name, as it was then: one that keeps it is not for us. Nor is one that takes a
    network device from the host: the deputy comes from where the executor is.
    """
    if spec.linux and spec.linux.netDevices:
        return False
    kinds = {namespace.type: namespace.path for namespace in (spec.linux and spec.linux.namespaces) or ()}
    new = all(kind in kinds and not kinds[kind] for kind in _KINDS)
    return new and "user" not in kinds and bool(spec.hostname)


def manager_for(request: CreateRequest, bundle: Bundle, host: Host) -> Manager:
    """Who manages the container's cgroup: its files, or systemd when that is asked for."""
    path = bundle.linux.cgroupsPath
    if not request.systemd_cgroup:
        return open_manager(host, path, request.id)
    from utsuwa.cgroup.systemd.manager import open_manager as open_unit

    return open_unit(host, path, request.id, bundle.spec.annotations)


def describe(request: CreateRequest, bundle: Bundle, manager: Manager) -> Document:
    """What is known before anything is made."""
    spec = bundle.spec
    namespaces = bundle.linux.namespaces or ()
    return Document(
        id=request.id,
        ociVersion=spec.ociVersion,
        bundle=bundle.path,
        rootfs=bundle.rootfs,
        created=now(),
        annotations=spec.annotations,
        cgroup=manager.save(),
        options={
            "no_pivot": request.no_pivot,
            "no_new_keyring": request.no_new_keyring,
            "notify": bool(request.notify),
        },
        ownPidNamespace=any(namespace.type == "pid" and not namespace.path for namespace in namespaces),
        poststart=bool(spec.hooks and spec.hooks.poststart),
        poststop=bool(spec.hooks and spec.hooks.poststop),
        intelRdt=_class_of_service(request.id, bundle) if bundle.linux.intelRdt is not None else None,
    )


def _class_of_service(identifier: str, bundle: Bundle) -> dict[str, object]:
    """The record of the directories in resctrl. Raises FailedPrecondition where there is none."""
    from utsuwa.linux.resctrl import group
    from utsuwa.spec.codec import encode

    wanted = bundle.linux.intelRdt
    assert wanted is not None
    found: dict[str, object] = encode(group(wanted.closID, identifier, bool(wanted.enableMonitoring)))
    return found


def options(
    request: CreateRequest, bundle: Bundle, manager: Manager, document: Document, await_start: bool, filters: str
) -> CreateOptions:
    """What the plan depends on besides the configuration and the host."""
    joining, rdt = manager.join(), document.rdt()
    return CreateOptions(
        bundle=bundle.path,
        root=bundle.rootfs,
        root_mounts=request.root_mounts,
        cgroup=CgroupJoin(
            unified=joining.unified,
            v1=joining.v1,
            scope=joining.scope,
            mounts=manager.directories(),
            device_lines=_device_lines(bundle, manager),
            resctrl=rdt.directories() if rdt else (),
        ),
        device_filter=manager.device_program(bundle.linux.resources),
        console=request.console >= 0,
        foreground=request.foreground,
        await_start=await_start,
        no_pivot=request.no_pivot,
        keyring=None if request.no_new_keyring else f"_ses.{request.id}",
        preserve_fds=request.listen_fds + request.preserve_fds,
        user=request.user,
        init=request.init,
        network=request.network,
        seccomp=seccomp(bundle.spec, filters),
        security_modules=security_modules(bundle.spec.process, bundle.linux),
        state_json=lambda status: _state_around_pid(document, status),
    )


def _device_lines(bundle: Bundle, manager: Manager) -> tuple[str, ...]:
    """What the process writes by itself; in other namespaces of these kinds it has no right to, or no way there."""
    for namespace in bundle.linux.namespaces or ():
        if namespace.type == "user" or (namespace.type == "mount" and namespace.path):
            return ()
    return manager.device_lines(bundle.linux.resources)


def _state_around_pid(document: Document, status: str) -> tuple[str, str]:
    from utsuwa.runtime.hooks import state_around_pid

    return state_around_pid(document, status)


def seccomp(spec: Spec, filters: str) -> Program | None:
    """The compiled linux.seccomp, from the cache directory ``filters`` if it is there; None when there is none."""
    if spec.linux is None or spec.linux.seccomp is None:
        return None
    from utsuwa.seccomp.cache import compiled

    return compiled(spec.linux.seccomp, filters)


def security_modules(process: Process | None, linux: Linux) -> tuple[str, ...]:
    """Which security modules are at work; looked up only where something is labelled."""
    if not (process and (process.apparmorProfile or process.selinuxLabel)) and not linux.mountLabel:
        return ()
    from utsuwa.linux.lsm import enabled

    return enabled()


def now() -> str:
    """The time in UTC as RFC 3339 with nanoseconds."""
    seconds, nanoseconds = divmod(time_ns(), 1_000_000_000)
    return f"{utc(seconds)}.{nanoseconds:09}Z"

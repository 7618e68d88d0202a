"""`urun restore`: a container out of the files that `checkpoint` wrote, by CRIU (criu(8)).

CRIU is started by a plan, as a container's own process is, and puts the restored processes beside itself: they are
children of ours, in the container's cgroups from their first moment.
"""

from __future__ import annotations

import os

from utsuwa.criu import messages
from utsuwa.criu.service import Service, channel, environment, find, version
from utsuwa.errors import NotFound, Unavailable, Unsupported, from_oserror
from utsuwa.init.channel import CLONED, REQUEST
from utsuwa.init.spawn import carry_out, spawn
from utsuwa.linux.host import probe
from utsuwa.linux.namespaces import CLONE_NEWNET
from utsuwa.plan.restore import Criu
from utsuwa.plan.restore import network as plan_network
from utsuwa.plan.restore import restore as plan_restore
from utsuwa.runtime import bundle as bundles
from utsuwa.runtime import external
from utsuwa.runtime.create import admit, check_console, end, end_cgroup, share_out, write_pid_file
from utsuwa.runtime.draft import CreateRequest, describe, manager_for, now, options
from utsuwa.runtime.migration import (
    DESCRIPTORS,
    LOG_LEVEL,
    CriuRequest,
    Directories,
    cgroup_mode,
    check,
    configuration,
)
from utsuwa.runtime.ownership import cgroup_owner
from utsuwa.runtime.process import start_time
from utsuwa.runtime.record import CREATED, Container, Store
from utsuwa.runtime.undo import Undo, hold_signals
from utsuwa.spec.codec import parse
from utsuwa.spec.runtime import Namespace, Resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.cgroup.manager import Manager
    from utsuwa.criu.messages import Response
    from utsuwa.init.spawn import Child
    from utsuwa.plan.plan import Plan
    from utsuwa.runtime.bundle import Bundle

_RESTORE_LOG = "restore.log"
_OLDEST_FOR_LABELS = 31600


class RestoreRequest(CriuRequest):
    """What `restore` is asked besides what `create` is; LSM labels are ``TYPE:NAME`` and a mount context."""

    lsm_profile: str = ""
    lsm_mount_context: str = ""


def restore(
    store: Store, created: CreateRequest, request: RestoreRequest, *, detach: bool = False, subreaper: bool = True
) -> tuple[int, list[str]]:
    """Restore a container; in the foreground stay with it until it ends. Gives its exit code and warnings.

    Raises Conflict for a taken id, Unsupported without CRIU, Unavailable when it fails: nothing is left then.
    """
    bundle = bundles.load(created.bundle)
    terminal = bool(bundle.spec.process and bundle.spec.process.terminal)
    check_console(terminal, detach, created.console >= 0)
    screen = None
    if terminal and not detach:
        from utsuwa.runtime.console import Terminal

        screen = Terminal()
        created = created.replace(console=screen.theirs.fileno(), foreground=True)
    cgroup_mode(request.cgroups)
    _check_labels(request, version())
    with Undo() as undo:
        container = Restoration(store, created, request, bundle, undo).carry_out()
        if not detach and subreaper and not container.document.ownPidNamespace:
            from utsuwa.runtime.process import become_subreaper

            become_subreaper()
    container.unlock()
    if detach:
        return 0, container.warnings
    from utsuwa.runtime.run import attend, remove

    return attend(container.document.pid, screen), container.warnings + remove(container)


class Restoration:
    """One container on its way back."""

    def __init__(
        self, store: Store, created: CreateRequest, request: RestoreRequest, bundle: Bundle, undo: Undo
    ) -> None:
        self._created, self._request, self._bundle, self._undo = created, request, bundle, undo
        self._host = probe()
        self._manager: Manager = manager_for(created, bundle, self._host)
        self._container = store.create(created.id)
        undo.push(self._container.unlock)
        undo.push(self._container.remove)

    def carry_out(self) -> Container:
        """Make the cgroups, let CRIU do its work in them, and write down what has come out of it."""
        container, manager = self._container, self._manager
        container.adopt_manager(manager)
        container.announce(describe(self._created, self._bundle, manager))
        manager.create(self._bundle.linux.resources)
        self._undo.push(end_cgroup, manager)
        container.keep_config(self._bundle.config)
        if self._bundle.linux.intelRdt is not None:
            share_out(container, self._bundle, self._undo)
        self._converse()
        container.complete()
        if self._created.pid_file:
            write_pid_file(self._created.pid_file, container.document.pid)
        return container

    def _converse(self) -> None:
        inherited, joined = external.namespaces_at_restore(self._bundle.linux)
        ours, theirs = channel()
        numbers = (theirs.fileno(), *[descriptor for _, descriptor in inherited])
        try:
            plan = self._plan(numbers)
            self._container.warnings = list(plan[0].warnings)
            if self._created.debug is not None:
                self._created.debug(plan[0])
            child = spawn(plan[0])
        finally:
            theirs.close()
            for descriptor in numbers[1:]:
                os.close(descriptor)
        self._undo.push(end, child)
        self._launch(child)
        service = Service(ours, child.pid)
        try:
            with Directories(self._request.images, self._request.work, child.pid) as directories:
                settings = directories.options() + self._settings(child.pid, inherited, joined, plan[1])
                response = service.ask(messages.request(messages.RESTORE, settings), self._notified)
                check(response, f"restore of container {self._container.id}", directories.log(_RESTORE_LOG))
        finally:
            service.close()
            child.pid = 0  # collected
        if not self._container.document.pid:
            raise Unavailable(f"restore of container {self._container.id}: criu did not tell of a restored process")

    def _plan(self, numbers: tuple[int, ...]) -> tuple[Plan, Plan]:
        """The plan that starts CRIU, and the one by which the container would be made."""
        from utsuwa.plan.create import create as plan_create

        chosen = options(
            self._created, self._bundle, self._manager, self._container.document, await_start=False, filters=""
        )
        criu = Criu(find(), ("criu", "swrk", str(numbers[0])), environment(), numbers)
        spec = self._bundle.spec
        return plan_restore(spec, self._host, chosen, criu), plan_create(spec, self._host, chosen)

    def _launch(self, child: Child) -> None:
        """See CRIU's process through the plan, and the limits set, until it is executed."""
        while (report := child.next()) is not None:
            if report.kind == REQUEST:  # of stage 1, to be put into a scope of systemd
                admit(self._manager, child, self._bundle.linux.resources)
                child.reply()
            elif report.kind == CLONED:
                self._manager.apply(self._bundle.linux.resources or Resources())
                owner = cgroup_owner(self._bundle.spec)
                if owner is not None:
                    self._manager.delegate(owner)

    def _settings(self, pid: int, inherited: list[tuple[str, int]], joined: list[bytes], made: Plan) -> bytes:
        request = self._request
        streams = [messages.pair(key, number) for key, number in (*inherited, *_pipes(request.images))]
        return messages.options(
            log_level=LOG_LEVEL,
            log_file=_RESTORE_LOG,
            root=self._bundle.rootfs,
            rst_sibling=True,
            evasive_devices=True,
            manage_cgroups=True,
            manage_cgroups_mode=cgroup_mode(request.cgroups),
            cg_root=_cgroup_roots(pid),
            notify_scripts=True,
            orphan_pts_master=True,
            empty_ns=CLONE_NEWNET,
            config_file=configuration(self._bundle.spec.annotations),
            shell_job=request.shell_job,
            tcp_established=request.tcp_established,
            ext_unix_sk=request.ext_unix_sk,
            file_locks=request.file_locks,
            auto_dedup=request.auto_dedup,
            lazy_pages=request.lazy_pages,
            lsm_profile=request.lsm_profile,
            lsm_mount_context=request.lsm_mount_context,
            ext_mnt=external.mounts_at_restore(made, self._bundle.rootfs),
            inherit_fd=streams,
            join_ns=joined,
        )

    def _notified(self, told: Response, descriptors: tuple[int, ...]) -> None:
        if told.script == "setup-namespaces":
            self._bring_loopback_up(told.pid)
            self._run_hooks(told.pid)
        elif told.script == "orphan-pts-master" and descriptors:
            self._send_console(descriptors[0])
        elif told.script == "post-restore":
            hold_signals()
            self._container.save(
                pid=told.pid, startTime=start_time(told.pid) or 0, cgroup=self._manager.save(), created=now()
            )
            self._keep_time_namespace(told.pid)

    def _bring_loopback_up(self, pid: int) -> None:
        if any(space.type == "network" and not space.path for space in self._bundle.linux.namespaces or ()):
            carry_out(plan_network(pid))

    def _run_hooks(self, pid: int) -> None:
        from utsuwa.runtime import hooks

        spec, document = self._bundle.spec, self._container.document
        state = hooks.state_json(document, CREATED, pid)
        for kind in ("prestart", "createRuntime"):
            hooks.run(kind, hooks.of(spec, kind), state, document.bundle)

    def _send_console(self, master: int) -> None:
        from _socket import AF_UNIX, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket

        if self._created.console < 0:
            return
        connection = socket(AF_UNIX, SOCK_STREAM, 0, os.dup(self._created.console))
        try:
            rights = [(SOL_SOCKET, SCM_RIGHTS, master.to_bytes(4, "little"))]
            connection.sendmsg([b"orphan-pts-master"], rights)
        except OSError as error:
            raise from_oserror(error, "send the terminal to the console socket") from error
        finally:
            connection.close()

    def _keep_time_namespace(self, pid: int) -> None:
        """CRIU restores clocks by a time namespace: what `exec` starts belongs there, or can't be dumped."""
        spec, linux = self._bundle.spec, self._bundle.linux
        known = linux.namespaces or ()
        try:
            same = os.readlink(f"/proc/{pid}/ns/time") == os.readlink("/proc/self/ns/time")
        except OSError:  # a kernel without (before 5.6)
            return
        if same or any(namespace.type == "time" for namespace in known):
            return
        from utsuwa.spec.codec import dumps, encode

        changed = linux.replace(namespaces=(*known, Namespace(type="time")))
        self._container.keep_config(dumps(encode(spec.replace(linux=changed))).encode())


def _check_labels(request: RestoreRequest, criu: int) -> None:
    """Before 3.16 CRIU keeps the label of the images, whatever it is told."""
    if criu < _OLDEST_FOR_LABELS and (request.lsm_profile or request.lsm_mount_context):
        raise Unsupported("--lsm-profile and --lsm-mount-context need criu 3.16 or newer")


def _pipes(images: str) -> list[tuple[str, int]]:
    """The standard streams that were pipes: ours take their places (--inherit-fd)."""
    path = f"{images}/{DESCRIPTORS}"
    try:
        with open(path, "rb", buffering=0) as file:
            streams = parse(file.read())
    except OSError as error:
        raise NotFound(f"open {path}: {(error.strerror or str(error)).lower()}") from error
    found: dict[str, int] = {}
    for number, stream in enumerate(streams if isinstance(streams, list) else ()):
        if isinstance(stream, str) and stream.startswith("pipe:") and number < 3:
            found.setdefault(stream, number)
    return list(found.items())


def _cgroup_roots(pid: int) -> list[bytes]:
    """Where the container's cgroups are now: CRIU puts those of the images below (cgroups(7), /proc/PID/cgroup)."""
    descriptor = os.open(f"/proc/{pid}/cgroup", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.fsdecode(os.read(descriptor, 1 << 16))
    finally:
        os.close(descriptor)
    found = []
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        found += [messages.pair(controller, path) for controller in controllers.split(",")]
    return found

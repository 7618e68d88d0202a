"""Containers: created, started, stopped, removed, looked at."""

from __future__ import annotations

import os

from utsuwa.engine import connecting, events, recovery, specification, stopping
from utsuwa.engine.groups import resolve_groups
from utsuwa.engine.health import merged, resolved
from utsuwa.engine.limits import check_limits
from utsuwa.engine.logsettings import Names, attributes, sizes
from utsuwa.engine.metadata import ContainerRecord, Metadata
from utsuwa.engine.mountpoints import Preparation, snapshot_keys, volume_names
from utsuwa.engine.reboot import forget_other_boot
from utsuwa.engine.revival import continued, is_interrupted, revive
from utsuwa.engine.startlock import StartLock
from utsuwa.engine.status import PAUSED, RUNNING, Status, derive
from utsuwa.engine.volumes import Volumes
from utsuwa.errors import Conflict, Error, FailedPrecondition, from_oserror
from utsuwa.identifiers import new_engine_id, random_name
from utsuwa.linux.host import in_user_namespace
from utsuwa.monitor import client, frames
from utsuwa.monitor.records import LASTING_FILE, STOPPED_FILE, HealthCheck, Start, now
from utsuwa.runtime.process import start_time
from utsuwa.spec.codec import dumps, encode
from utsuwa.spec.mount import Mount
from utsuwa.spec.record import decode
from utsuwa.spec.request import check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.engine.images import Images
    from utsuwa.engine.paths import Paths
    from utsuwa.engine.runtimes import Runtime
    from utsuwa.image.store import Image
    from utsuwa.image.to_spec import ProcessDefaults
    from utsuwa.monitor.client import Connection
    from utsuwa.spec.image import ImageConfig
    from utsuwa.spec.request import RunRequest
    from utsuwa.spec.runtime import Spec


OWN, RUNTIMES = "urun", "/etc/utsuwa/runtimes.toml"
"""Our own runtime, and where others are configured: without that nothing more is looked at."""


class Containers:
    """The containers below the paths; safe to use from several processes at once."""

    def __init__(self, paths: Paths, images: Images) -> None:
        self._paths, self._images = paths, images
        forget_other_boot(paths)
        self._metadata = Metadata(paths)
        self._volumes = Volumes(paths, self._metadata)

    @property
    def volumes(self) -> Volumes:
        """The volumes that they share."""
        return self._volumes

    @property
    def images(self) -> Images:
        """The images that they are made of."""
        return self._images

    # --- create and start -------------------------------------------------------------------------------------------

    def create(self, request: RunRequest, *, started_by_maker: bool = False) -> ContainerRecord:
        """Make a container, without a process yet.

        ``started_by_maker``: this process is going to start it; when it dies before, nobody would. Raises NotFound
        without the image, Conflict for a taken name, InvalidArgument and Unsupported for what the request says.
        """
        check(request)
        check_limits(request)
        if request.seldom is not None:
            from utsuwa.engine.joining import look_up

            request = look_up(request, self.find)
        if request.security.selinux:
            from utsuwa.engine import selinux

            request = selinux.settle(request, self._labels())
        request = connecting.settle(self._paths, request, self.find)
        image = self._images.resolve(request.image, request.platform)
        config = image.config
        identifier = new_engine_id()
        lock = self._metadata.begin(identifier)
        mounting = Preparation(identifier, self._volumes, self._images, image)
        try:
            record = self._make(identifier, request, image, config, started_by_maker, mounting)
            self._metadata.save(record)
        except BaseException:
            os.close(lock)
            self._discard(identifier)
            raise
        finally:
            mounting.close()
        os.close(lock)
        events.note(self._paths, record, "create")
        return record

    def _make(
        self,
        identifier: str,
        request: RunRequest,
        image: Image,
        config: ImageConfig,
        transient: bool,
        mounting: Preparation,
    ) -> ContainerRecord:
        """Everything of a container but the record itself."""
        directory = self._paths.container(identifier)
        name = self._claim_name(identifier, request.name)
        settings = config.settings
        around = self._surroundings(identifier, request)
        start = specification.process_defaults(request, config, around.hostname)
        self._images.snapshotter.prepare(identifier, image.top)
        around.volumes = mounting.prepare(request, settings, self.find)
        mounts = self._root(identifier, request, mounting)
        if request.groups:
            around.groups = resolve_groups(request.groups, self._images.trees(image))
        connecting.prepare(self._paths, identifier, name, around.hostname, request, settings)
        runtime = self._runtime(request.runtime)
        spec = self._compose(request, start, around, image, runtime)
        _write(f"{directory}/config.json", dumps(spec).encode())
        os.mkdir(f"{directory}/rootfs", 0o755)
        health = merged(settings.Healthcheck, request.health)
        labels = {**(settings.Labels or {}), **(request.labels or {})}
        limit, files, compress = sizes(request.logging)
        names = Names(identifier, name, request.image, image.id)
        assert spec.process is not None  # we have just made it
        me = os.getpid()
        return ContainerRecord(
            id=identifier,
            name=name,
            createdAt=now(),
            image=request.image,
            imageId=image.id,
            command=start.args,
            entrypoint=settings.Entrypoint if request.entrypoint is None else (request.entrypoint or None),
            request=encode(request),
            mounts=tuple(map(encode, mounts)),
            user=start.user or "0",
            tty=request.tty,
            openStdin=request.stdin_open,
            stdinOnce=request.stdin_open and not request.detach,
            autoRemove=request.auto_remove,
            init=request.init,
            labels=labels,
            logDriver=request.logging.driver,
            logLimit=limit,
            logFiles=files,
            logCompress=compress,
            logAttributes=attributes(request.logging, names, labels, spec.process.env or ()),
            restart=request.restart.name if request.restart.name != "no" else "",
            restartLimit=request.restart.limit,
            healthcheck=encode(health),
            health=encode(resolved(health, settings)),
            stopSignal=request.stop_signal or start.stop_signal,
            stopTimeout=_first(request.stop_timeout, settings.StopTimeout, 10),
            maker=me if transient else 0,
            makerStart=(start_time(me) or 0) if transient else 0,
            networkMode=request.network,
            mountPoints=tuple(encode(point) for point in mounting.points),
            volumes=mounting.removable(),
            runtime=runtime.name if runtime else OWN,
            runtimeCommand=runtime.command if runtime else (),
            exposed=connecting.exposed_ports(request.networking, settings),
        )

    def _root(self, identifier: str, request: RunRequest, mounting: Preparation) -> tuple[Mount, ...]:
        """What to mount as the container's root; it and what is lent to the container have labels that it may use."""
        mounts = self._images.snapshotter.mounts(identifier)
        if request.security.selinux:
            from utsuwa.engine.selinux import label_root, relabel_all

            relabel_all(request.security.selinux, mounting.points)
            mounts = label_root(request.security.selinux, mounts)
        return mounts

    def _labels(self) -> list[str]:
        """The SELinux labels that containers have."""
        from utsuwa.spec.request import Security

        asked: list[Any] = [record.request for record in self._metadata.all()]
        found = [decode(Security, each.get("security", {})).selinux for each in asked]
        return [label for label in found if label]

    def _compose(
        self,
        request: RunRequest,
        start: ProcessDefaults,
        around: specification.Surroundings,
        image: Image,
        runtime: Runtime | None,
    ) -> Spec:
        """The configuration, as an ordinary user can have it and as the runtime understands it."""
        spec = specification.compose(request, start, around)
        if in_user_namespace():
            from utsuwa.engine.rootless import adapt as without_cgroup

            spec = without_cgroup(spec, request)
        if runtime is not None:
            from utsuwa.engine.runtimes import adapt

            spec = adapt(spec, request, start.user, self._images.trees(image))
        return spec

    def _runtime(self, wanted: str) -> Runtime | None:
        """The runtime that is asked for; None for our own."""
        if wanted == OWN or not (wanted or os.environ.get("UTSUWA_RUNTIMES") or os.path.exists(RUNTIMES)):
            return None
        from utsuwa.engine import runtimes

        found = runtimes.resolve(self._paths, wanted)
        return found if found.command else None

    def _claim_name(self, identifier: str, wanted: str | None) -> str:
        if wanted is not None:
            self._metadata.claim(wanted, identifier)
            return wanted.removeprefix("/")
        while True:
            name = random_name(lambda taken: os.path.lexists(f"{self._paths.names}/{taken}"))
            try:
                self._metadata.claim(name, identifier)
            except Conflict:  # somebody was faster
                continue
            return name

    def _surroundings(self, identifier: str, request: RunRequest) -> specification.Surroundings:
        """Write the files that a container finds in its /etc; those of networks are written again at every start."""
        if request.network.startswith("container:"):
            return self._shared(identifier, self._metadata.load(request.network.removeprefix("container:")))
        of_host = request.network == "host" or (request.seldom is not None and request.seldom.uts == "host")
        hostname = request.hostname or (os.uname().nodename if of_host else identifier[:12])
        cgroup2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
        around = specification.Surroundings(identifier, hostname, cgroup2)
        from utsuwa.engine.surroundings import hosts, resolution

        directory = self._paths.container(identifier)
        for name, content in (
            ("hosts", hosts(request, _read("/etc/hosts"))),
            ("hostname", f"{hostname}\n".encode()),
            ("resolv.conf", resolution(request, _read("/etc/resolv.conf"))),
        ):
            _write(f"{directory}/{name}", content, 0o644)
            around.files[f"/etc/{name}"] = f"{directory}/{name}"
        return around

    def _shared(self, identifier: str, other: ContainerRecord) -> specification.Surroundings:
        """The surroundings of a container in another one's network namespace: that one's files, and its name."""
        directory = self._paths.container(other.id)
        hostname = _read(f"{directory}/hostname").decode("utf-8", "replace").strip() or other.id[:12]
        around = specification.Surroundings(identifier, hostname, os.path.exists("/sys/fs/cgroup/cgroup.controllers"))
        around.shares = True
        for name in ("hosts", "hostname", "resolv.conf"):
            around.files[f"/etc/{name}"] = f"{directory}/{name}"
        return around

    def start(self, record: ContainerRecord, *, attach: bool = False, size: tuple[int, int] = (0, 0)) -> Connection:
        """Start a container; the connection has said STARTED, and with ``attach`` is its stdio.

        Raises FailedPrecondition when it runs already, and what the runtime said, with Docker's exit code as ``code``.
        """
        with StartLock(self._paths.container(record.id)):
            return self._start(record, attach, size)

    def _start(self, record: ContainerRecord, attach: bool, size: tuple[int, int]) -> Connection:
        status = derive(self._paths, record)
        if status.name == PAUSED:
            raise FailedPrecondition("cannot start a paused container, try unpause instead")
        if status.alive or status.kept:
            raise FailedPrecondition(f"container {record.name} is running already")
        again = is_interrupted(self._paths, record, status)
        recovery.settle(self._paths, record, status)
        self._join(record)
        before, me = record, os.getpid()
        began = {"maker": me, "makerStart": start_time(me) or 0}
        ran = status.exit.number if status.exit else 0  # its monitor may have started it, too
        record = self._metadata.change(record.id, lambda found: found.replace(runs=max(found.runs, ran) + 1, **began))
        stopped = f"{self._paths.container(record.id)}/{STOPPED_FILE}"
        if os.path.exists(stopped):
            os.unlink(stopped)
        if attach:
            events.note(self._paths, record, "attach")
        try:
            request = self._request(record, attach, size)
            if again and status.exit:
                request = continued(request, status.exit)
            connection = client.request(self._paths.run, request)
        except Error:  # nobody has begun
            began = {"maker": before.maker, "makerStart": before.makerStart}
            self._metadata.change(record.id, lambda found: found.replace(runs=found.runs - 1, **began))
            raise
        try:
            await_started(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _join(self, record: ContainerRecord) -> None:
        """Let the configuration name the namespaces of the containers that this one shares some with."""
        if not (record.request or {}).get("seldom") and connecting.has_own(record.networkMode):  # type: ignore[attr-defined]
            return
        from utsuwa.engine import joining

        def look(identifier: str) -> tuple[ContainerRecord, Status]:
            other = self.find(identifier)
            return other, derive(self._paths, other)

        wanted = joining.joins(record)
        if wanted:
            joining.enter(f"{self._paths.container(record.id)}/config.json", wanted, look)

    def _request(self, record: ContainerRecord, attach: bool, size: tuple[int, int]) -> Start:
        return Start(
            id=record.id,
            directory=self._paths.container(record.id),
            run=self._paths.run,
            number=record.runs,
            tty=record.tty,
            openStdin=record.openStdin,
            stdinOnce=record.stdinOnce,
            attach=attach,
            rows=size[0],
            columns=size[1],
            log=log_name(record),
            logLimit=record.logLimit,
            logFiles=record.logFiles,
            logDriver=record.logDriver,
            logCompress=record.logCompress,
            logAttributes=record.logAttributes,
            mounts=tuple(decode(Mount, mount) for mount in record.mounts),
            user=record.user,
            init=record.init,
            health=decode(HealthCheck, record.health) if record.health else None,
            remove=record.autoRemove,
            snapshots=self._paths.snapshots,
            volumes=record.volumes,
            runtime=record.runtimeCommand,
            networks=connecting.has_own(record.networkMode),
        )

    # --- look -------------------------------------------------------------------------------------------------------

    def find(self, reference: str) -> ContainerRecord:
        """The container that a user means by an id, the beginning of one, or a name."""
        record = self._metadata.find(reference)
        if record.restart and is_interrupted(self._paths, record, derive(self._paths, record)):
            revive(self, record)
            return self._metadata.load(record.id)
        return record

    def status(self, record: ContainerRecord) -> Status:
        """What it is doing."""
        return derive(self._paths, record)

    def list(self, everything: bool = False) -> list[tuple[ContainerRecord, Status]]:
        """The containers that run, or all, the newest first; what was left by killed processes is cleaned up on the
        way.
        """
        self._sweep()
        found = []
        for record in self._metadata.all():
            status = derive(self._paths, record)
            if recovery.is_orphan(record, status) and not recovery.is_awaited(self._paths, record):
                recovery.attempt(self._discard, record.id)
                continue
            if record.restart and is_interrupted(self._paths, record, status):
                revive(self, record)
                status = derive(self._paths, record)
            recovery.settle(self._paths, record, status)
            if everything or status.alive or status.restarting:
                found.append((record, status))
        return found

    def attach(self, record: ContainerRecord) -> Connection:
        """A connection to a running container's stdio."""
        status = derive(self._paths, record)
        if status.restarting:
            raise FailedPrecondition("You cannot attach to a restarting container, wait until it is running")
        if not status.alive:
            raise FailedPrecondition("You cannot attach to a stopped container, start it first")
        if status.name == PAUSED:
            raise FailedPrecondition("You cannot attach to a paused container, unpause it first")
        events.note(self._paths, record, "attach")
        return client.attach(self._paths.run, record.id)

    # --- end --------------------------------------------------------------------------------------------------------

    def kill(self, record: ContainerRecord, signal: str = "KILL") -> None:
        """Send a signal, see :func:`utsuwa.engine.stopping.kill`."""
        stopping.kill(self._paths, record, signal)

    def stop(self, record: ContainerRecord, timeout: int | None = None, signal: str | None = None) -> None:
        """Ask the container to end, and after ``timeout`` seconds (its own, or 10; -1: never) kill it."""
        stopping.stop(self._paths, record, timeout, signal)

    def wait(self, record: ContainerRecord, condition: str = "not-running") -> int:
        """Wait until the container's run is over (or its ``next-exit``, or it is ``removed``); its exit code."""
        return stopping.wait(self._paths, record, condition)

    def restart(self, record: ContainerRecord, timeout: int | None = None, signal: str | None = None) -> None:
        """Stop the container if it runs, and start it; one that would be removed at its end stays."""
        lasting = f"{self._paths.container(record.id)}/{LASTING_FILE}"
        _write(lasting, f"{os.getpid()} {start_time(os.getpid())}".encode())
        try:
            stopping.stop(self._paths, record, timeout, signal)
            self.start(self.find(record.id)).close()
        finally:
            if os.path.exists(lasting):
                os.unlink(lasting)
        events.note(self._paths, record, "restart")

    def remove(self, record: ContainerRecord, *, force: bool = False, volumes: bool = False) -> None:
        """Remove a container that does not run; ``force`` kills it first; ``volumes``: its anonymous volumes too."""
        with StartLock(self._paths.container(record.id)):  # whoever starts it has done so, or finds it gone
            self._remove(record, force, volumes)
        self._sweep()

    def _remove(self, record: ContainerRecord, force: bool, volumes: bool) -> None:
        status = derive(self._paths, record)
        if status.alive or status.restarting or (status.kept and status.name == RUNNING):
            if not force:
                remedy = "Unpause and then stop" if status.name == PAUSED else "Stop"
                raise Conflict(
                    f"You cannot remove a {status.name} container {record.id}. "
                    f"{remedy} the container before attempting removal or force remove"
                )
            stopping.put_down(self._paths, record)
        if not volumes and not record.autoRemove:
            self._volumes.disown(record.id, volume_names(record))
        self._discard(record.id, wait=True)
        events.note(self._paths, record, "destroy")

    def _sweep(self) -> None:
        recovery.sweep(self._paths, self._metadata, self._discard)
        self._volumes.sweep()
        if os.path.isdir(f"{self._paths.run}/networks") or os.path.isdir(f"{self._paths.root}/networks/plugged"):
            connecting.recover(self._paths, self._metadata)

    def _discard(self, identifier: str, wait: bool = False) -> None:
        recovery.discard(self._paths, identifier, self._images.snapshotter.remove, wait)
        snapshotter = self._images.snapshotter
        for key in snapshot_keys(identifier, snapshotter.keys()):
            snapshotter.remove(key)


def await_started(connection: Connection) -> int:
    """The pid that the monitor reports; raises what it reports instead."""
    from utsuwa import errors
    from utsuwa.spec.codec import parse

    try:
        kind, payload = connection.next()
    except EOFError:
        raise errors.Unavailable("the monitor was killed while it created the container") from None
    told = parse(payload)
    if kind == frames.STARTED:
        return int(told["pid"])
    kinds = {each.__name__: each for each in errors.KINDS}
    error: Error = kinds.get(told.get("kind"), errors.Error)(told.get("message", ""))
    error.code = told.get("code", 125)  # type: ignore[attr-defined]
    raise error


def log_name(record: ContainerRecord) -> str:
    """The name of the log in the container's directory, "" when it has none."""
    return {"json-file": f"{record.id}-json.log", "local": "container.log"}.get(record.logDriver, "")


def _first(*values: int | None) -> int:
    return next(value for value in values if value is not None)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return b""


def _write(path: str, data: bytes, mode: int = 0o600) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            os.fchmod(fd, mode)  # the caller's umask is not the container's
            while data:
                data = data[os.write(fd, data) :]
        finally:
            os.close(fd)
    except OSError as error:
        raise from_oserror(error, f"write {path}") from error

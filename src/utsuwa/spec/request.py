"""What a user asks of the engine for one container: every door fills this record, the engine makes a Spec of it."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument
from utsuwa.spec.healthcheck import Healthcheck
from utsuwa.spec.record import OneOf, Record
from utsuwa.spec.runtime import DeviceRule, Rlimit

TYPE_CHECKING = False
if TYPE_CHECKING:
    VolumeKind = str
    Protocol = str
    LogDriver = str
    RestartName = str
else:
    VolumeKind = OneOf("bind", "volume", "image")
    Protocol = OneOf("tcp", "udp", "sctp")
    LogDriver = OneOf("json-file", "local", "journald", "none")
    RestartName = OneOf("no", "always", "unless-stopped", "on-failure")


class Volume(Record):
    """A host path, a named volume or an image's files in the container; a volume without ``source`` is anonymous.

    ``propagation`` is a word of mount(8) ("rslave") or None for rprivate; ``relabel`` is SELinux's "z" or "Z";
    ``copy`` fills an empty volume with what the image has at ``target``. ``beneath`` says what becomes of mounts
    beneath a read-only bind: "" read-only where the kernel can, "writable", or "readonly" at any price. ``must_exist``:
    a host path is not made. ``subpath`` is a directory or file of the volume or image. A volume that is made for it
    gets ``driver``, ``options`` and ``labels``. ``long``: it was written as ``--mount``.
    """

    kind: VolumeKind
    source: str | None = None
    target: str
    read_only: bool = False
    recursive: bool = True
    propagation: str | None = None
    relabel: str | None = None
    copy: bool = True
    beneath: str = ""
    must_exist: bool = False
    subpath: str = ""
    driver: str = ""
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    long: bool = False


class Tmpfs(Record):
    """A file system in memory at ``target``; ``options`` are those of mount(8), tmpfs(5); ``long`` as in Volume."""

    target: str
    options: tuple[str, ...] = ()
    long: bool = False


class Security(Record):
    """What ``--security-opt`` says.

    ``seccomp`` is None for the engine's own profile, "unconfined", or a profile's text, in Docker's JSON;
    ``system_paths`` False leaves nothing masked or read-only in /proc and /sys, ``mask`` and ``unmask`` add and take
    away single paths. ``apparmor`` is a profile's name, ``selinux`` a whole label.
    """

    no_new_privileges: bool = False
    seccomp: str | None = None
    system_paths: bool = True
    mask: tuple[str, ...] = ()
    unmask: tuple[str, ...] = ()
    apparmor: str | None = None
    selinux: str | None = None


class Logging(Record):
    """Where output goes: ``max_size`` bytes a file (-1: no limit) in at most ``max_file`` files, old ones gzipped if
    they are to be ``compress``-ed; None leaves it to the engine. ``tag``, and the ``labels`` and variables (``env``) of
    these names, or that match a regular expression, stand beside every line. ``options`` is what was said.
    """

    driver: LogDriver = "json-file"
    max_size: int | None = None
    max_file: int | None = None
    compress: bool | None = None
    tag: str | None = None
    labels: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    labels_regex: str | None = None
    env_regex: str | None = None
    options: dict[str, str] = {}


class Restart(Record):
    """When the engine starts a container again that has ended, at most ``limit`` times in a row (0: no limit)."""

    name: RestartName = "no"
    limit: int = 0


class DeviceNode(Record):
    """A device of the host, or a directory of such, at ``target``; ``access`` is made of r, w and m."""

    source: str
    target: str
    access: str = "rwm"


class DeviceValue(Record):
    """A limit or weight for one block device of the host."""

    path: str
    value: int


class Seldom(Record):
    """What few containers ask for; None, "" and () leave things as they are.

    ``ipc``, ``pid``, ``uts``, ``cgroup`` say which namespace the container has: "host" or "private", the first two also
    "container:NAME" (the id, once it has been looked up), and ``ipc`` also "shareable" and "none". Sizes are bytes, CPU
    times microseconds.
    """

    annotations: dict[str, str] | None = None
    domainname: str | None = None
    ipc: str = ""
    pid: str = ""
    uts: str = ""
    cgroup: str = ""
    cgroup_parent: str = ""
    shm_size: int | None = None
    sysctls: dict[str, str] | None = None
    devices: tuple[DeviceNode, ...] = ()
    device_rules: tuple[DeviceRule, ...] = ()
    oom_score_adj: int | None = None
    oom_kill_disable: bool = False
    memory_reservation: int | None = None
    memory_swappiness: int | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpu_rt_period: int | None = None
    cpu_rt_runtime: int | None = None
    cpuset_mems: str | None = None
    blkio_weight: int | None = None
    blkio_weight_device: tuple[DeviceValue, ...] = ()
    device_read_bps: tuple[DeviceValue, ...] = ()
    device_write_bps: tuple[DeviceValue, ...] = ()
    device_read_iops: tuple[DeviceValue, ...] = ()
    device_write_iops: tuple[DeviceValue, ...] = ()


class PublishedPort(Record):
    """A port of the host that leads to ``port`` of the container. ``host_ip`` "" is every address, ``host_port`` 0 one
    that is free.
    """

    port: int
    protocol: Protocol = "tcp"
    host_ip: str = ""
    host_port: int = 0


class NetworkWish(Record):
    """A network by name or id, the names that others there find the container by, and addresses it is to have.

    ``link_local``: further ones, for that link only. The network of the highest ``priority`` is the way out.
    """

    network: str
    aliases: tuple[str, ...] = ()
    ip: str = ""
    ip6: str = ""
    mac: str = ""
    link_local: tuple[str, ...] = ()
    priority: int = 0


class NetworkSettings(Record):
    """What a container wants of its networks besides which they are.

    ``expose`` holds ``80/tcp``, which ``publish_all`` publishes; ``hosts`` lines ``NAME:ADDRESS`` for /etc/hosts, where
    ``host-gateway`` is the host's address; the rest goes into /etc/resolv.conf.
    """

    ports: tuple[PublishedPort, ...] = ()
    publish_all: bool = False
    expose: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()


class RunRequest(Record):
    """One ``utsuwa run``; None, False and () leave a choice to the image, or to the engine.

    ``memory`` and ``memory_swap`` (both together, -1 without limit) are bytes, ``nano_cpus`` billionths of a CPU,
    ``stop_timeout`` seconds. ``env`` holds NAME=value, or a bare NAME that takes a variable of the image away.
    ``platform``: which image is meant where a name has several, "" for this host's.
    ``network`` is "default", "none", "host", "container:ID", or the first of ``networks``.
    ``entrypoint`` () clears the image's. ``capabilities`` names are canonical (``CAP_KILL``), or ``ALL``.
    """

    image: str
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    name: str | None = None
    hostname: str | None = None
    env: tuple[str, ...] = ()
    labels: dict[str, str] | None = None
    workdir: str | None = None
    user: str | None = None
    groups: tuple[str, ...] = ()

    volumes: tuple[Volume, ...] = ()
    tmpfs: tuple[Tmpfs, ...] = ()
    volumes_from: tuple[str, ...] = ()
    read_only: bool = False
    network: str = "default"
    networks: tuple[NetworkWish, ...] = ()
    networking: NetworkSettings = NetworkSettings()

    memory: int | None = None
    memory_swap: int | None = None
    nano_cpus: int | None = None
    cpu_shares: int | None = None
    cpuset_cpus: str | None = None
    pids_limit: int | None = None
    rlimits: tuple[Rlimit, ...] = ()
    seldom: Seldom | None = None
    runtime: str = ""
    platform: str = ""

    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security: Security = Security()
    privileged: bool = False

    init: bool = False
    tty: bool = False
    stdin_open: bool = False
    detach: bool = False
    auto_remove: bool = False
    stop_signal: str | None = None
    stop_timeout: int | None = None
    logging: Logging = Logging()
    restart: Restart = Restart()
    health: Healthcheck | None = None


MINIMUM_MEMORY = 6 * 1024 * 1024
"""Bytes a container needs for its start, Docker's floor."""


def check(request: RunRequest) -> None:
    """Raise InvalidArgument where parts of a request do not go together; single values were checked when parsed."""
    memory, swap = request.memory, request.memory_swap
    if memory is not None and 0 < memory < MINIMUM_MEMORY:
        raise InvalidArgument(f"memory must be at least 6m, found {memory} bytes")
    if swap is not None and swap > 0:
        if not memory:
            raise InvalidArgument("memory-swap needs memory, set both")
        if swap < memory:
            raise InvalidArgument(f"memory-swap is memory and swap together, {swap} is less than memory {memory}")
    for name in ("cpu_shares", "stop_timeout"):
        value = getattr(request, name)
        if value is not None and value < (-1 if name == "stop_timeout" else 0):
            raise InvalidArgument(f"{name.replace('_', '-')} must not be negative, found {value}")
    if request.auto_remove and request.restart.name != "no":
        raise InvalidArgument("can't create 'AutoRemove' container with restart policy")
    if request.hostname is not None and not 0 < len(request.hostname.encode("utf-8", "replace")) <= 64:
        raise InvalidArgument("hostname must be 1 to 64 bytes long")
    for name in (request.hostname or "", (request.seldom.domainname if request.seldom else None) or ""):
        if not name.isprintable() or " " in name:  # it becomes part of a line in /etc/hosts
            raise InvalidArgument(f"invalid hostname {name!r}: expected no blanks, and no control characters")
    if request.workdir is not None and request.workdir[:1] != "/":
        raise InvalidArgument(f"workdir {request.workdir!r} must be absolute")
    _check_targets(request)
    for text in (
        *request.command,
        *(request.entrypoint or ()),
        *request.env,
        request.workdir or "",
        request.user or "",
    ):
        if "\0" in text:
            raise InvalidArgument(f"{text!r} must not hold a NUL character")


def _check_targets(request: RunRequest) -> None:
    seen = set()
    for target in (*(each.target for each in request.volumes), *(each.target for each in request.tmpfs)):
        if target.rstrip("/") in seen:
            raise InvalidArgument(f"{target}: two volumes or tmpfs at one place")
        seen.add(target.rstrip("/"))

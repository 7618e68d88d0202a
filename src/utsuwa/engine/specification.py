"""An image's configuration and a user's request become the runtime's configuration. Pure but for a look at host
devices.
"""

from __future__ import annotations

import os

from utsuwa.engine import defaults, propagation
from utsuwa.errors import InvalidArgument, from_oserror
from utsuwa.image.to_spec import process_of
from utsuwa.linux.capabilities import NAMES
from utsuwa.spec.default import OCI_VERSION
from utsuwa.spec.runtime import (
    CPU,
    Capabilities,
    Device,
    Linux,
    Memory,
    Mount,
    Namespace,
    Pids,
    Process,
    Resources,
    Root,
    Seccomp,
    Spec,
    User,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.image.to_spec import ProcessDefaults
    from utsuwa.spec.image import ImageConfig
    from utsuwa.spec.request import RunRequest

_CPU_PERIOD = 100_000
"""Microseconds, Docker's."""


class Surroundings:
    """What the engine has prepared for a container: files it sees as /etc/hosts and so on, and volumes."""

    __slots__ = ("cgroup2", "files", "groups", "hostname", "identifier", "shares", "volumes")

    def __init__(self, identifier: str, hostname: str, cgroup2: bool) -> None:
        self.identifier, self.hostname, self.cgroup2 = identifier, hostname, cgroup2
        self.shares = False
        """It is in another container's network namespace, which is known when it starts."""
        self.groups: tuple[int, ...] = ()
        """Further groups of the process."""
        self.files: dict[str, str] = {}
        """Target -> host path of single files."""
        self.volumes: tuple[Mount, ...] = ()
        """Binds of volumes and host directories, parents before children."""


def compose(request: RunRequest, start: ProcessDefaults, around: Surroundings) -> Spec:
    """The configuration of the container. Raises InvalidArgument and Unsupported."""
    privileged = request.privileged
    kept = capabilities(request)
    spec = Spec(
        ociVersion=OCI_VERSION,
        process=_process(request, start, kept, around.groups),
        root=Root(path="rootfs", readonly=request.read_only),
        hostname=around.hostname,
        mounts=_mounts(request, around),
        linux=Linux(
            namespaces=_namespaces(request, around),
            cgroupsPath=f"/utsuwa/{around.identifier}",
            resources=_resources(request),
            seccomp=None if privileged else _seccomp(request, kept),
            maskedPaths=_masked(request, defaults.MASKED_PATHS) if _hides(request) else request.security.mask or None,
            readonlyPaths=_unmasked(request, defaults.READONLY_PATHS) if _hides(request) else None,
            mountLabel=_file_label(request.security.selinux),
            sysctl=None if request.network == "host" or around.shares else defaults.SYSCTLS,
            devices=_host_devices() if privileged else None,
            rootfsPropagation=propagation.of_root(around.volumes),
        ),
    )
    if request.seldom is None:
        return spec
    from utsuwa.engine import seldom

    return seldom.apply(spec, request, request.seldom, around.cgroup2)


def process_defaults(request: RunRequest, config: ImageConfig, hostname: str) -> ProcessDefaults:
    """Arguments, environment, directory and user: the image's, with the request's over them."""
    own = (f"HOSTNAME={hostname}", *(("TERM=xterm",) if request.tty else ()))
    return process_of(
        config,
        command=request.command,
        entrypoint=request.entrypoint,
        env=(*own, *request.env),
        user=request.user or "",
        workdir=request.workdir or "",
    )


def capabilities(request: RunRequest) -> tuple[str, ...]:
    """The capabilities that the container keeps, in the kernel's order."""
    every = tuple(NAMES)
    if request.privileged:
        return every
    for name in (*request.cap_add, *request.cap_drop):
        if name != "ALL" and name not in every:
            raise InvalidArgument(f'invalid capability: unknown capability "{name}"')
    kept = set(every if "ALL" in request.cap_add else defaults.CAPABILITIES)
    if "ALL" in request.cap_drop:
        kept = set()
    if "ALL" not in request.cap_add:
        kept |= set(request.cap_add)
    kept -= set(request.cap_drop)
    return tuple(name for name in every if name in kept)


def _process(request: RunRequest, start: ProcessDefaults, kept: tuple[str, ...], groups: tuple[int, ...]) -> Process:
    return Process(
        terminal=request.tty,
        user=User(uid=0, gid=0, additionalGids=groups or None),
        args=start.args,
        env=start.env,
        cwd=start.cwd,
        # Users other than root lose all but the bounding set by execve(2): nothing is inheritable or ambient
        # (CVE-2022-24769).
        capabilities=Capabilities(bounding=kept, effective=kept, permitted=kept),
        rlimits=request.rlimits or None,
        noNewPrivileges=request.security.no_new_privileges,
        apparmorProfile=request.security.apparmor,
        selinuxLabel=request.security.selinux,
    )


def _file_label(label: str | None) -> str | None:
    if not label:
        return None
    from utsuwa.engine.selinux import file_label

    return file_label(label)


def _namespaces(request: RunRequest, around: Surroundings) -> tuple[Namespace, ...]:
    kinds = ["mount", "uts", "ipc", "pid"]
    if request.network != "host":
        kinds.append("network")
    if around.cgroup2 and not request.privileged:
        kinds.append("cgroup")
    return tuple(Namespace(type=kind) for kind in kinds)


def _mounts(request: RunRequest, around: Surroundings) -> tuple[Mount, ...]:
    mounts = list(defaults.MOUNTS)
    if request.privileged:
        mounts = [_writable(mount) for mount in mounts]
    taken = {mount.destination for mount in around.volumes} | {each.target for each in request.tmpfs}
    mounts = [mount for mount in mounts if mount.destination not in taken]
    for target, source in around.files.items():
        if target not in taken:
            mounts.append(Mount(destination=target, type="bind", source=source, options=("rbind", "rprivate")))
    own = [
        *around.volumes,
        *(Mount(destination=each.target, type="tmpfs", source="tmpfs", options=each.options) for each in request.tmpfs),
    ]
    own.sort(key=lambda mount: mount.destination.rstrip("/").count("/"))
    return (*mounts, *own)


def _writable(mount: Mount) -> Mount:
    """For privileged containers: /sys and the cgroups may be written to."""
    if mount.destination.startswith("/sys"):
        return mount.replace(options=tuple(option for option in mount.options or () if option != "ro"))
    return mount


def _resources(request: RunRequest) -> Resources:
    memory = cpu = None
    if request.memory or request.memory_swap:
        # Docker's rule: memory alone means as much swap again.
        swap = request.memory_swap if request.memory_swap is not None else 2 * (request.memory or 0)
        memory = Memory(limit=request.memory or None, swap=swap or None)
    if request.nano_cpus or request.cpu_shares or request.cpuset_cpus:
        quota = request.nano_cpus * _CPU_PERIOD // 1_000_000_000 if request.nano_cpus else None
        cpu = CPU(
            shares=request.cpu_shares or None,
            quota=quota,
            period=_CPU_PERIOD if quota else None,
            cpus=request.cpuset_cpus or None,
        )
    pids = Pids(limit=request.pids_limit) if request.pids_limit and request.pids_limit > 0 else None
    devices = defaults.EVERY_DEVICE if request.privileged else defaults.DEVICE_RULES
    return Resources(devices=devices, memory=memory, cpu=cpu, pids=pids)


def _hides(request: RunRequest) -> bool:
    return request.security.system_paths and not request.privileged


def _masked(request: RunRequest, paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*_unmasked(request, paths), *request.security.mask)))


def _unmasked(request: RunRequest, paths: tuple[str, ...]) -> tuple[str, ...]:
    """The paths but for those that unmask= names, with shell patterns, or whose directory it names."""
    if not request.security.unmask:
        return paths
    from fnmatch import fnmatchcase

    wanted = request.security.unmask
    return tuple(path for path in paths if not any(fnmatchcase(path, each) for each in wanted))


def _seccomp(request: RunRequest, kept: tuple[str, ...]) -> Seccomp | None:
    wanted = request.security.seccomp
    if wanted == "unconfined":
        return None
    from utsuwa.seccomp.profile import default_profile

    if wanted is None:
        return default_profile(kept)
    from utsuwa.seccomp.docker_profile import parse_profile

    return parse_profile(wanted, kept)


def _host_devices() -> tuple[Device, ...]:
    """Every device node of the host's /dev but terminals, for privileged containers."""
    import stat

    found: list[Device] = []
    waiting = ["/dev"]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError as error:
            raise from_oserror(error, "list the host's devices") from error
        for entry in entries:
            state = entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False) and entry.name not in ("pts", "shm", "mqueue", "fd"):
                waiting.append(entry.path)
            elif stat.S_ISCHR(state.st_mode) or stat.S_ISBLK(state.st_mode):
                if entry.name in ("console", "ptmx", "tty"):
                    continue
                found.append(
                    Device(
                        type="c" if stat.S_ISCHR(state.st_mode) else "b",
                        path=entry.path,
                        major=os.major(state.st_rdev),
                        minor=os.minor(state.st_rdev),
                        fileMode=stat.S_IMODE(state.st_mode),
                        uid=state.st_uid,
                        gid=state.st_gid,
                    )
                )
    return tuple(found)

"""RUN: the words that are executed, the container around them, and what its mounts bind."""

from __future__ import annotations

import fcntl
import os

from utsuwa.build import mounts
from utsuwa.build.request import host_lines, hosts_of, proxies
from utsuwa.engine import specification
from utsuwa.errors import InvalidArgument, NotFound, from_oserror
from utsuwa.image.to_spec import ProcessDefaults
from utsuwa.linux.host import in_user_namespace
from utsuwa.network.files import HOSTS
from utsuwa.snapshot.overlay import escaped, flags
from utsuwa.spec import digest
from utsuwa.spec.request import Tmpfs
from utsuwa.spec.runtime import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.build.agents import Agent
    from utsuwa.build.instructions import Command
    from utsuwa.build.networking import Connection
    from utsuwa.build.request import BuildRequest
    from utsuwa.build.state import State
    from utsuwa.spec.runtime import Spec

HOSTNAME = "buildkitsandbox"
"""What BuildKit calls the machine on which a RUN believes itself to be; some packages write it down."""
_SCRIPTS = "/dev/pipes"


class Prepared:
    """A RUN ready to be started: words, variables, mounts; ``locks`` are to be closed when it is over."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words
        self.env: dict[str, str] = {}
        self.binds: list[Mount] = []
        self.tmpfs: list[Tmpfs] = []
        self.locks: list[int] = []
        self.secret_files: list[str] = []
        self.agents: list[Agent] = []

    def close(self) -> None:
        """Let go of cache mounts and agents, remove the secrets."""
        for agent in self.agents:
            agent.close()
        for fd in self.locks:
            os.close(fd)
        for path in self.secret_files:
            os.unlink(path)
        self.locks, self.secret_files, self.agents = [], [], []


def words_of(command: Command, state: State) -> tuple[tuple[str, ...], str]:
    """What is executed, and a script that goes into a file of its own ("" for none): a here-document that begins with
    #!.
    """
    words, script = command.words, ""
    if command.documents:
        first = command.documents[0]
        alone = len(command.documents) == 1 and _is_document_alone(words[0], first.name)
        if alone and first.content.startswith("#!"):
            words, script = (f"{_SCRIPTS}/{first.name}",), first.content
        elif alone:
            words = (first.content,)
        else:
            words = ("\n".join([words[0], *(f"{each.content}{each.name}" for each in command.documents)]),)
    return ((*state.shell, *words) if command.shell else words), script


def _is_document_alone(text: str, name: str) -> bool:
    return text.strip().removeprefix("<<").removeprefix("-").strip("\"'") == name


def variables(state: State, request: BuildRequest) -> dict[str, str]:
    """The environment of a RUN: the image's, the ARGs that are in scope, and proxies."""
    return {**proxies(request.arguments), **state.arguments, **state.env}


def configuration(
    prepared: Prepared,
    command: Command,
    state: State,
    request: BuildRequest,
    connection: Connection,
    directory: str,
) -> Spec:
    """The configuration of the container, in which ``utsuwa run`` would start the command."""
    insecure = command.security == "insecure"
    if insecure and "security.insecure" not in request.entitlements:
        raise InvalidArgument("security.insecure is not allowed (give --allow security.insecure to the build)")
    network = connection.network
    connection.prepare(HOSTNAME, hosts_of(request.hosts))
    wanted = request.container.replace(network=network, privileged=insecure, tmpfs=tuple(prepared.tmpfs))
    cgroup2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    around = specification.Surroundings(connection.name, HOSTNAME, cgroup2)
    around.files = _files(network, request, directory)
    around.volumes = tuple(prepared.binds)
    start = ProcessDefaults(
        args=prepared.words,
        env=tuple(f"{key}={value}" for key, value in {**variables(state, request), **prepared.env}.items()),
        cwd=state.workdir,
        user=state.settings.User or "",
        stop_signal="SIGKILL",
    )
    spec = specification.compose(wanted, start, around)
    if in_user_namespace():
        from utsuwa.engine.rootless import adapt

        return adapt(spec, wanted, systemd=False)
    return spec


def _files(network: str, request: BuildRequest, directory: str) -> dict[str, str]:
    """What the container sees as /etc/hosts and /etc/resolv.conf, until it has a place in a network."""
    hosts = HOSTS + (f"127.0.0.1\t{HOSTNAME}\n" if network == "none" else "")
    if network == "host":
        with open("/etc/hosts", encoding="utf-8", errors="replace") as file:
            hosts = file.read()
    found = {}
    with open("/etc/resolv.conf", encoding="utf-8", errors="replace") as file:
        resolver = file.read()
    for name, content in (("hosts", hosts + host_lines(request.hosts)), ("resolv.conf", resolver)):
        path = f"{directory}/{name}"
        with open(path, "w", encoding="utf-8") as out:
            out.write(content)
        os.chmod(path, 0o644)
        found[f"/etc/{name}"] = path
    return found


def add_script(prepared: Prepared, script: str, directory: str) -> None:
    """A here-document that is a program by itself, as a file below /dev, where no layer sees it."""
    folder = f"{directory}/pipes"
    os.mkdir(folder, 0o755)
    path = f"{folder}/{prepared.words[-1].rpartition('/')[2]}"
    with open(path, "w", encoding="utf-8") as file:
        file.write(script)
    os.chmod(path, 0o755)
    prepared.binds.append(_bind(folder, _SCRIPTS, writable=False))


def add_cache(prepared: Prepared, mount: mounts.RunMount, root: str) -> str:
    """The directory of a cache mount, under a lock; "" unless it is new and empty, else its path, for who fills it."""
    folder = f"{root}/build/mounts"
    name = digest.of(mount.id.encode()).hex[:32]
    path, number = f"{folder}/{name}", 0
    kind = fcntl.LOCK_SH if mount.sharing == "shared" else fcntl.LOCK_EX
    while True:
        fresh = _make_cache(path, mount)
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, kind | (fcntl.LOCK_NB if mount.sharing == "private" else 0))
            break
        except BlockingIOError:  # somebody else's, as long as they build
            os.close(lock)
            number += 1
            path = f"{folder}/{name}.{number}"
    prepared.locks.append(lock)
    prepared.binds.append(_bind(f"{path}/data", mount.target, writable=mount.writable))
    return f"{path}/data" if fresh else ""


def _make_cache(path: str, mount: mounts.RunMount) -> bool:
    try:
        os.makedirs(path, 0o711, exist_ok=True)
        os.mkdir(f"{path}/data", 0o700)
    except FileExistsError:
        return False
    except OSError as error:
        raise from_oserror(error, f"make the cache mount {mount.id}") from error
    os.chown(f"{path}/data", mount.uid, mount.gid)
    os.chmod(f"{path}/data", 0o755 if mount.mode is None else mount.mode)
    return True


def add_tmpfs(prepared: Prepared, mount: mounts.RunMount) -> None:
    """A directory in memory."""
    size = () if mount.size is None else (f"size={mount.size}",)
    prepared.tmpfs.append(Tmpfs(target=mount.target, options=("nosuid", "nodev", "noexec", *size)))


def add_secret(prepared: Prepared, mount: mounts.RunMount, request: BuildRequest, directory: str) -> None:
    """A secret as a file in memory, or as a variable. Raises NotFound for one that is required and was not given."""
    data = next((secret.data for secret in request.secrets if secret.id == mount.id), None)
    if data is None:
        if mount.required:
            raise NotFound(f"secret {mount.id}: not found (give it by --secret id={mount.id},src=FILE)")
        return
    if mount.env:
        prepared.env[mount.env] = data.decode("utf-8", "surrogateescape")
    if not mount.target:
        return
    os.makedirs(directory, 0o700, exist_ok=True)
    path = f"{directory}/{digest.of(mount.target.encode()).hex[:16]}"
    with open(path, "wb", buffering=0) as file:
        prepared.secret_files.append(path)
        file.write(data)
    os.chown(path, mount.uid, mount.gid)
    os.chmod(path, 0o400 if mount.mode is None else mount.mode)
    prepared.binds.append(_bind(path, mount.target, writable=False))


def add_agent(prepared: Prepared, mount: mounts.RunMount, request: BuildRequest, directory: str) -> None:
    """A socket that leads to an ssh agent. Raises NotFound for one that is required and was not given."""
    target = request.agents.get(mount.id)
    if target is None:
        if mount.required:
            raise NotFound(f"ssh {mount.id}: not found (give it by --ssh {mount.id})")
        return
    from utsuwa.build.agents import Agent

    number = len(prepared.agents)
    place = mount.target or f"/run/buildkit/ssh_agent.{number}"
    path, mode = f"{directory}/ssh.{number}", 0o600 if mount.mode is None else mount.mode
    prepared.agents.append(Agent(mount.id, target, path, (mount.uid, mount.gid), mode))
    prepared.binds.append(_bind(path, place, writable=True))
    prepared.env.setdefault("SSH_AUTH_SOCK", place)


def add_bind(prepared: Prepared, mount: mounts.RunMount, directories: list[str], scratch: Callable[[], str]) -> None:
    """A file, or the directories that make up one (top first); ``scratch`` gives a directory for what is written to
    it.
    """
    if len(directories) == 1 and not mount.writable:
        prepared.binds.append(_bind(directories[0], mount.target, writable=False))
        return
    if len(directories) == 1 and not os.path.isdir(directories[0]):
        raise InvalidArgument(f"--mount target {mount.target}: a single file can't be bound writable")
    options = [f"lowerdir={':'.join(map(escaped, directories))}"]
    if mount.writable:
        upper, work = scratch(), scratch()
        os.chmod(upper, os.stat(directories[0]).st_mode & 0o7777)
        options += [f"upperdir={upper}", f"workdir={work}"]
    options += [*flags(), "rw" if mount.writable else "ro"]
    prepared.binds.append(Mount(destination=mount.target, type="overlay", source="overlay", options=tuple(options)))


def _bind(source: str, target: str, *, writable: bool) -> Mount:
    options = ("bind", "rprivate", "rw" if writable else "ro")
    return Mount(destination=target, type="bind", source=source, options=options)

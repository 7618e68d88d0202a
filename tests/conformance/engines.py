"""Engines that take a runtime: each with state, sockets and cgroups of its own, called by one script, ``engine``."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.contract.oci import command, eventually

RUNTIMES = os.environ.get("UTSUWA_TRANSCRIPT_RUNTIMES", "urun").split()
"""Whom the transcripts are played with. They were written down from runc, and crun plays them too."""
IMAGE = "box"
"""busybox and nothing else, in every engine."""
# podman asks for more files than a host without CAP_SYS_RESOURCE can grant; and for conmon's cgroup it makes plain
# directories in the place of hierarchies that are not mounted, which nobody removes.
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000", "--cgroups", "no-conmon")
ENVIRONMENT = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
PRIVATE_MOUNTS = (
    *("unshare", "-m", "sh", "-c"),
    'mount --make-rprivate / && mkdir -p /etc/docker && mount -t tmpfs none /etc/docker && exec "$@"',
    "-",
)
"""Words before a daemon's: what it mounts ends with it, and it writes no key of its own to /etc."""
SOCKET_AT_INPUT = ("sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&0 </dev/null', "-")
"""Words before a daemon's: its standard input is the socket that its manager listens at for it (sd_listen_fds(3))."""
CLONE_NEWNET = 0x40000000

_ENGINE = """#!/bin/sh
verb=$1
shift
case $verb in
run | create | bud)
    network=--network=none
    case " $*" in *" --network "*) network= ;; esac
    exec {before} "$verb" {after} $network "$@"
    ;;
rm) exec {before} rm {removal} "$@" ;;
*) exec {before} "$verb" "$@" ;;
esac
"""

# wait-for WANTED COMMAND...: repeat the command until it prints that.
_WAIT_FOR = """#!/bin/sh
wanted=$1
shift
for _ in $(seq 400); do
    said=$("$@" 2>/dev/null)
    [ $? = 0 ] && [ "$said" = "$wanted" ] && exit
    sleep 0.05
done
echo "still: $said"
exit 1
"""


class Engine:
    """A real client, and the way to the daemon behind it if there is one.

    ``before``, ``after``: for each runtime, the words before the verb, and those after ``run``, ``create`` and ``bud``.
    ``removal``: the options that make ``rm --force`` quick.
    """

    def __init__(
        self, group: str, before: dict[str, list[str]], after: dict[str, list[str]], removal: str = ""
    ) -> None:
        self._group, self._before, self._after, self._removal = group, before, after, removal

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._before["urun"], *words], capture_output=True, text=True, timeout=60, env=ENVIRONMENT, check=False
        )

    def environment(self, runtime: str, directory: Path) -> dict[str, str]:
        """That of a transcript: ``engine`` and ``wait-for`` are commands, the cgroup of the containers is $GROUP."""
        script = _ENGINE.format(
            before=" ".join(self._before[runtime]), after=" ".join(self._after[runtime]), removal=self._removal
        )
        for name, text in (("engine", script), ("wait-for", _WAIT_FOR)):
            (directory / name).write_text(text)
            (directory / name).chmod(0o755)
        return {**ENVIRONMENT, "PATH": f"{directory}:{ENVIRONMENT['PATH']}", "GROUP": f"/{self._group}"}

    def clear(self) -> None:
        """Remove all containers, running or not."""
        found = self("ps", "--all", "--quiet", "--no-trunc").stdout.split()
        if found:
            self("rm", *self._removal.split(), "--force", "--volumes", *found)


def _listening(path: str) -> socket.socket:
    """A socket with room for all who come at once, for a daemon to take from its manager.

    The room is bounded by somaxconn of the network namespace that the socket is made in. A host may have set 1; and Go
    connects without waiting, so that a client who finds no room gives up. A new namespace has the kernel's number.
    """
    libc, made = ctypes.CDLL(None, use_errno=True), list[socket.socket]()

    def make() -> None:
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        made.append(socket.socket(socket.AF_UNIX))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    made[0].bind(path)
    made[0].listen(128)
    return made[0]


def _runtimes(directory: Path) -> dict[str, str]:
    """Every runtime as one path, which is what engines take."""
    found = {}
    for name in RUNTIMES:
        (directory / name).mkdir()
        found[name] = command(name, directory / name)[0]
    return found


@contextmanager
def docker(tar: Path, group: str) -> Iterator[Engine]:
    """dockerd and the docker command; the daemon is in a mount namespace of its own, with a containerd of its own."""
    with tempfile.TemporaryDirectory(prefix="utsuwa-", dir="/tmp") as name:
        directory, host = Path(name), f"unix://{name}/sock"
        words = ["dockerd", "--data-root", f"{name}/data", "--exec-root", f"{name}/run", "--pidfile", f"{name}/pid"]
        words += ["--host", "fd://", "--bridge=none", "--storage-driver", "overlay2", "--experimental"]
        words += [f"--{what}=false" for what in ("iptables", "ip6tables", "ip-masq", "ip-forward", "userland-proxy")]
        runtimes = _runtimes(directory)
        for runtime, path in runtimes.items():
            words += ["--add-runtime", f"our-{runtime}={path}"]
        settings = ["--cgroup-parent", f"/{group}"]
        after = {runtime: ["--runtime", f"our-{runtime}", *settings] for runtime in runtimes}
        engine = Engine(group, {runtime: ["docker", "--config", name, "--host", host] for runtime in runtimes}, after)
        with (directory / "log").open("w") as log, _listening(f"{name}/sock") as sock:
            daemon = subprocess.Popen(
                [*PRIVATE_MOUNTS, *SOCKET_AT_INPUT, *words], stdin=sock, stdout=log, stderr=log, env=ENVIRONMENT
            )
        try:
            eventually(lambda: engine("version").returncode == 0, "dockerd")
            assert engine("import", "--change", "ENV PATH=/bin", "--change", 'CMD ["sh"]', str(tar), IMAGE).stdout
            yield engine
            engine.clear()
        finally:
            daemon.terminate()
            daemon.wait(30)


@contextmanager
def podman(tar: Path, group: str) -> Iterator[Engine]:
    """podman with all of its state in a directory; its run root may have 50 characters at most."""
    with tempfile.TemporaryDirectory(prefix="utsuwa-", dir="/tmp") as name:
        words = ["podman", "--root", f"{name}/root", "--runroot", f"{name}/run", "--tmpdir", f"{name}/tmp"]
        words += ["--volumepath", f"{name}/volumes", "--storage-driver", "vfs", "--events-backend", "file"]
        words += ["--cgroup-manager", "cgroupfs"]
        settings = ["--pull", "never", "--cgroup-parent", f"/{group}", *LIMITS]
        before = {runtime: [*words, "--runtime", path] for runtime, path in _runtimes(Path(name)).items()}
        engine = Engine(group, before, dict.fromkeys(RUNTIMES, settings), "--time 0")
        assert engine("import", "--change", "ENV PATH=/bin", "--change", 'CMD ["sh"]', str(tar), IMAGE).returncode == 0
        yield engine
        engine.clear()


@contextmanager
def buildah(tar: Path, group: str) -> Iterator[Engine]:
    """buildah with all of its state in a directory, and an image to begin with."""
    with tempfile.TemporaryDirectory(prefix="utsuwa-", dir="/tmp") as name:
        words = ["buildah", "--root", f"{name}/root", "--runroot", f"{name}/run", "--storage-driver", "vfs"]
        after = {runtime: ["--runtime", path, "--isolation", "oci"] for runtime, path in _runtimes(Path(name)).items()}
        engine = Engine(group, dict.fromkeys(RUNTIMES, words), after)
        (Path(name) / "Containerfile").write_text(f"FROM scratch\nADD {tar.name} /\nENV PATH=/bin\n")
        assert engine("bud", "--tag", IMAGE, "--file", f"{name}/Containerfile", str(tar.parent)).returncode == 0
        yield engine
        engine("rm", "--all")


def archive(rootfs: Path, tar: Path) -> Path:
    """``rootfs`` as the archive that import takes."""
    subprocess.run(["tar", "-C", str(rootfs), "-cf", str(tar), "."], check=True)
    shutil.rmtree(rootfs)
    return tar


def busybox(directory: Path) -> Path:
    """A copy of the host's busybox."""
    return Path(shutil.copy(shutil.which("busybox", path=ENVIRONMENT["PATH"]) or "", directory / "busybox"))

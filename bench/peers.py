"""What people do with an engine every day, against Debian's podman, dockerd and containerd (ctr) in the same run.

All of them work in a mount and a network namespace of their own: the daemons' bridges and rules end with it, and crun,
which podman uses, finds no unified hierarchy that it would refuse. ``UTSUWA_BENCH_PEERS="run exec"`` chooses tables.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path

from bench.engine import House, house
from bench.measure import Candidate, Figures, interleave, table
from bench.start import URUN
from tools.oci_image import busybox_layer, write_layout

IMAGE = "bench/busybox"
REST = 0.06
UTSUWA = str(URUN.parent / "utsuwa")
MEGABYTES = 100
MANY = 200
_CONTAINERD = """
version = 2
root = "{0}/root"
state = "{0}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{0}/sock"
[ttrpc]
address = "{0}/sock.ttrpc"
"""
_DOCKERFILE = """FROM {base}
COPY tree /tree
RUN echo 1 > /one
RUN echo 2 > /two
RUN echo 3 > /three
RUN echo 4 > /four
RUN cat /one /two /three /four > /all
"""


class Peers:
    """The engines, each as the words before a verb, ours first."""

    def __init__(self, home: House, directory: Path) -> None:
        self.home, self.directory = home, directory
        self.words: dict[str, list[str]] = {"utsuwa": [UTSUWA]}
        self.box = {"utsuwa": IMAGE, "docker": "box", "podman": "box", "ctr": "docker.io/bench/busybox:latest"}

    def call(self, name: str, *words: str, check: bool = True) -> str:
        """A command of one of them."""
        done = subprocess.run(
            [*self.words[name], *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode and check:
            raise SystemExit(f"bench: {name} {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def answers(self, name: str) -> bool:
        """Whether its daemon is there."""
        return subprocess.run([*self.words[name], "version"], capture_output=True, check=False).returncode == 0

    def candidates(self, *words: str, among: Sequence[str] = ("utsuwa", "docker", "podman")) -> list[Candidate]:
        """The same command for all; the word BOX is their image."""
        return [
            Candidate(name, [*self.words[name], *[self.box[name] if word == "BOX" else word for word in words]])
            for name in among
            if name in self.words
        ]


@contextmanager
def peers() -> Iterator[Peers]:
    """All engines that are installed, with a busybox image each."""
    with ExitStack() as stack:
        home = stack.enter_context(house())
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="utsuwa-bench-")))
        found = Peers(home, directory)
        layout, plain = directory / "image.tar", directory / "rootfs.tar"
        write_layout(layout, [busybox_layer()], f"docker.io/{IMAGE}:latest", {"Env": ["PATH=/bin"], "WorkingDir": "/"})
        plain.write_bytes(busybox_layer())
        if shutil.which("dockerd"):
            stack.enter_context(docker(found, plain))
        if shutil.which("podman"):
            podman(found, plain)
        if shutil.which("containerd"):
            stack.enter_context(containerd(found, layout))
        yield found
        for name in ("docker", "podman"):
            identifiers = found.call(name, "ps", "-aq", check=False).split() if name in found.words else []
            if identifiers:
                found.call(name, "rm", "-f", *identifiers)


@contextmanager
def _daemon(words: list[str], log: Path, answers: Callable[[], bool]) -> Iterator[None]:
    with log.open("w") as output:
        daemon = subprocess.Popen(words, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 30
        while not answers():
            if time.monotonic() > deadline or daemon.poll() is not None:
                raise SystemExit(f"bench: {words[0]} did not start: {log.read_text()[-1000:]}")
            time.sleep(0.1)
        yield
    finally:
        daemon.terminate()
        daemon.wait(30)


@contextmanager
def docker(found: Peers, rootfs: Path) -> Iterator[None]:
    """A dockerd of its own, with the image ``box`` of an archive."""
    directory = found.directory / "docker"
    directory.mkdir()
    found.words["docker"] = ["docker", "--config", str(directory), "--host", f"unix://{directory}/sock"]
    words = ["dockerd", "--data-root", f"{directory}/data", "--exec-root", f"{directory}/run", "--pidfile"]
    words += [f"{directory}/pid", "--host", f"unix://{directory}/sock", "--storage-driver", "overlay2"]
    with _daemon(words, directory / "log", lambda: found.answers("docker")):
        found.call("docker", "import", "--change", "ENV PATH=/bin", str(rootfs), "box")
        yield


def podman(found: Peers, rootfs: Path) -> None:
    """A podman with storage of its own, and the image ``box`` of an archive."""
    directory = tempfile.mkdtemp(prefix="pod", dir=found.directory)  # its run root may have 50 characters at most
    words = ["podman", "--root", f"{directory}/root", "--runroot", f"{directory}/run", "--tmpdir", f"{directory}/tmp"]
    found.words["podman"] = [*words, "--events-backend", "file", "--cgroup-manager", "cgroupfs", "--runtime", "crun"]
    found.call("podman", "import", "--change", "ENV PATH=/bin", str(rootfs), "box")


@contextmanager
def containerd(found: Peers, layout: Path) -> Iterator[None]:
    """A containerd of its own, with the image of an OCI layout."""
    directory = found.directory / "containerd"
    directory.mkdir()
    (directory / "config.toml").write_text(_CONTAINERD.format(directory))
    found.words["ctr"] = ["ctr", "--address", f"{directory}/sock"]
    words = ["containerd", "--config", str(directory / "config.toml")]
    with _daemon(words, directory / "log", lambda: found.answers("ctr")):
        found.call("ctr", "images", "import", "--index-name", found.box["ctr"], str(layout))
        yield


# --- the tables -------------------------------------------------------------------------------------------------------


def run(found: Peers) -> None:
    """`run --rm` of /bin/true as one cold command, without a network and with the default bridge."""
    limits = [
        "--ulimit",
        "nofile=1024:1024",
        "--ulimit",
        "nproc=1000:1000",
    ]  # what podman wants is more than some hosts grant
    candidates = found.candidates("run", "--rm", "--network", "none", *limits, "BOX", "true")
    if "ctr" in found.words:
        candidates += found.candidates("run", "--rm", "BOX", "bench", "true", among=("ctr",))
    table("run --rm busybox true, no network [ms]", interleave(candidates, 20, idle=REST))
    bridged = found.candidates("run", "--rm", "--network", "bridge", *limits, "BOX", "true")
    bridged = [each for each in bridged if subprocess.run(each.argv, capture_output=True, check=False).returncode == 0]
    if bridged:
        table("run --rm busybox true, default bridge [ms]", interleave(bridged, 15, idle=REST))


def execute(found: Peers) -> None:
    """Another process in a container that runs."""
    for name in ("utsuwa", "docker", "podman"):
        if name in found.words:
            limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"]
            found.call(
                name, "run", "-d", "--network", "none", *limits, "--name", "one", found.box[name], "sleep", "1000"
            )
    candidates = found.candidates("exec", "one", "true")
    if "ctr" in found.words:
        found.call("ctr", "run", "-d", found.box["ctr"], "one", "sleep", "1000")
        candidates += found.candidates("task", "exec", "--exec-id", "bench", "one", "true", among=("ctr",))
    table("exec true [ms]", interleave(candidates, 20, idle=REST))
    if "ctr" in found.words:
        found.call("ctr", "task", "kill", "-s", "KILL", "one")
        _until(
            lambda: (
                bool(found.call("ctr", "task", "rm", "one", check=False))
                or "one" not in found.call("ctr", "task", "ls")
            )
        )
        found.call("ctr", "containers", "rm", "one")


def library(found: Peers) -> None:
    """Create and start in a living process: our library, and the API of the others over their sockets."""
    import utsuwa

    engine = utsuwa.Engine(root=found.home.paths.root, run=found.home.paths.run)

    def ours() -> float:
        begin = time.perf_counter()
        container = engine.containers.start(IMAGE, ["sleep", "1000"], network="none")
        taken = (time.perf_counter() - begin) * 1e3
        container.remove(force=True)
        return taken

    ways: dict[str, Callable[[], float]] = {"utsuwa library": ours}
    with ExitStack() as stack:
        if "docker" in found.words:
            ways["docker API"] = lambda: _docker_api(f"{found.directory}/docker/sock")
        if "podman" in found.words:
            address = f"{found.directory}/podman.sock"
            words = [*found.words["podman"], "system", "service", "--time", "0", f"unix://{address}"]
            stack.enter_context(_daemon(words, found.directory / "podman.log", lambda: os.path.exists(address)))
            ways["podman API"] = lambda: _docker_api(address)
        figures = {name: Figures() for name in ways}
        for number in range(21):
            for name, way in ways.items():
                time.sleep(REST)
                taken = way()
                if number:
                    figures[name].wall.append(taken)
    table("create and start from a living process [ms]", figures)


class _Local(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def _docker_api(path: str) -> float:
    """By Docker's API, which podman has as well; the limits are what podman wants and not every host grants."""
    limits = [{"Name": name, "Soft": limit, "Hard": limit} for name, limit in (("nofile", 1024), ("nproc", 1000))]
    wanted = {"NetworkMode": "none", "Ulimits": limits}
    body = json.dumps({"Image": "box", "Cmd": ["sleep", "1000"], "HostConfig": wanted})
    api = _Local(path)
    begin = time.perf_counter()
    api.request("POST", "/containers/create", body, {"Content-Type": "application/json"})
    identifier = json.loads(api.getresponse().read())["Id"]
    api.request("POST", f"/containers/{identifier}/start")
    answer = api.getresponse()
    answer.read()
    taken = (time.perf_counter() - begin) * 1e3
    if answer.status != 204:
        raise SystemExit(f"bench: the start at {path} answered {answer.status}")
    api.request("DELETE", f"/containers/{identifier}?force=1")
    api.getresponse().read()
    return taken


def build(found: Peers) -> None:
    """A small Dockerfile (FROM, COPY of 200 files, five RUN), without cache and with."""
    context = found.directory / "context"
    (context / "tree").mkdir(parents=True)
    for number in range(200):
        (context / "tree" / f"file{number}").write_text(f"{number}\n" * 100)
    for name in ("utsuwa", "docker"):
        if name in found.words:
            (context / f"Dockerfile.{name}").write_text(_DOCKERFILE.format(base=found.box[name]))
    cold = [
        Candidate(
            name, [*found.words[name], "build", "-q", "--no-cache", "-f", f"{context}/Dockerfile.{name}", str(context)]
        )
        for name in ("utsuwa", "docker")
        if name in found.words
    ]
    if shutil.which("buildah"):
        cold.append(Candidate("buildah", _buildah(found, context)))
    table("build without cache [ms]", interleave(cold, 5, idle=REST))
    warm = [Candidate(each.name, [word for word in each.argv if word != "--no-cache"]) for each in cold[:2]]
    table("build, all cached [ms]", interleave(warm, 15, idle=REST))


def _buildah(found: Peers, context: Path) -> list[str]:
    directory = tempfile.mkdtemp(prefix="bah", dir=found.directory)
    words = ["buildah", "--root", f"{directory}/root", "--runroot", f"{directory}/run", "--storage-driver", "overlay"]
    base = context.parent / "base"
    base.mkdir()
    shutil.copy(context.parent / "rootfs.tar", base)
    (base / "Containerfile").write_text("FROM scratch\nADD rootfs.tar /\nENV PATH=/bin\n")
    subprocess.run([*words, "bud", "-q", "-t", "box", str(base)], check=True, capture_output=True)
    (context / "Dockerfile.buildah").write_text(_DOCKERFILE.format(base="localhost/box"))
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"]
    return [
        *words,
        "bud",
        "-q",
        "--no-cache",
        "--layers=false",
        "--network",
        "none",
        *limits,
        "-f",
        f"{context}/Dockerfile.buildah",
        str(context),
    ]


def logs(found: Peers) -> None:
    """A container that prints, until it has ended and its log is whole; and the log read back."""
    line = "x" * 99
    program = f"yes {line} | head -n {MEGABYTES * 10_000}"
    print(f"\n{MEGABYTES} MB of lines of 100 bytes through json-file [MB/s]\n{'':28}{'printed':>10}{'read back':>10}")
    for name in ("utsuwa", "docker"):
        if name not in found.words:
            continue
        written, back = [], []
        for number in range(3):
            begin = time.perf_counter()
            whole = ["--log-driver", "json-file", "--log-opt", "max-size=1g"]  # nothing put aside, by nobody
            log = [*whole, "--network", "none", "--name", f"log{number}"]
            found.call(name, "run", "-d", *log, found.box[name], "sh", "-c", program)
            found.call(name, "wait", f"log{number}")
            written.append(MEGABYTES / (time.perf_counter() - begin))
            begin = time.perf_counter()
            subprocess.run([*found.words[name], "logs", f"log{number}"], stdout=subprocess.DEVNULL, check=True)
            back.append(MEGABYTES / (time.perf_counter() - begin))
            found.call(name, "rm", f"log{number}")
        print(f"{name:28}{statistics.median(written):10.0f}{statistics.median(back):10.0f}", flush=True)


def ps(found: Peers) -> None:
    """A list of many containers."""
    for name in ("utsuwa", "docker", "podman"):
        for number in range(MANY if name in found.words else 0):
            found.call(name, "create", "--network", "none", "--name", f"many{number}", found.box[name], "true")
    table(f"ps -a with {MANY} containers [ms]", interleave(found.candidates("ps", "-a"), 15, idle=REST))


def pull(found: Peers) -> None:
    """A large image of many files from a loopback registry, pulled and unpacked."""
    from bench import large_pull

    large_pull.pull(found)


TABLES = {
    "run": run,
    "exec": execute,
    "library": library,
    "build": build,
    "logs": logs,
    "ps": ps,
    "pull": pull,
}


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def main() -> None:
    """Print the tables, in namespaces of our own."""
    if os.environ.get("UTSUWA_BENCH_NS") != "peers":
        prepare = (
            "mount --make-rprivate /; ip link set lo up; mkdir -p /etc/docker; mount -t tmpfs none /etc/docker; "
            'if [ -d /sys/fs/cgroup/unified ]; then mount -t tmpfs none /sys/fs/cgroup/unified; fi; exec "$@"'
        )
        words = ["unshare", "-mn", "sh", "-c", prepare, "-", sys.executable, "-m", "bench", "peers"]
        subprocess.run(words, check=True, env=os.environ | {"UTSUWA_BENCH_NS": "peers"})
        return
    wanted = os.environ.get("UTSUWA_BENCH_PEERS", "").split() or list(TABLES)
    with peers() as found:
        for name in wanted:
            TABLES[name](found)


if __name__ == "__main__":
    main()

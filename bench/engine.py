"""The engine's three promises: a hot start through the forkserver, a small idle monitor, and a log that keeps up.

Hot start: from the request to the exit of the container's process (/bin/true, no network, the default seccomp profile),
and to the moment when nothing of it is left to clean up; the bare interpreter and `crun run` in the same interleaved
run show what the machine gives today.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from select import POLLIN, poll

from bench.measure import Candidate, Figures, interleave, once, table
from bench.start import URUN, bundle, on_unified
from tools.oci_image import busybox_layer, write_layout
from utsuwa.engine.containers import Containers
from utsuwa.engine.images import Images
from utsuwa.engine.paths import Paths
from utsuwa.monitor import client, frames

UTSUWA = URUN.parent / "utsuwa"
IMAGE = "bench/busybox"
ROUNDS = 60
REST = 0.06
"""Seconds before each start: a start back to back with the last waits for the next monitor to be prepared."""
MEGABYTES = 200
LINE = "x" * 99
BARE = ("/usr/bin/python3", "-I", "-S", "-c", "pass")


class House:
    """An engine in a directory of its own."""

    def __init__(self, directory: Path, volatile: Path) -> None:
        """``volatile``: on a tmpfs, as /run is in use."""
        self.directory = directory
        self.paths = Paths(str(directory / "root"), str(volatile / "run"))
        self.containers = Containers(self.paths, Images(self.paths))
        os.environ |= {"UTSUWA_ROOT": self.paths.root, "UTSUWA_RUN": self.paths.run, "UTSUWA_NETWORK": "none"}
        archive = directory / "image.tar"
        write_layout(archive, [busybox_layer()], f"{IMAGE}:latest", {"Env": ["PATH=/bin"], "WorkingDir": "/"})
        self("load", "-q", "-i", str(archive))

    def __call__(self, *words: str) -> str:
        """The command line, run to its end."""
        done = subprocess.run([UTSUWA, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"bench: utsuwa {' '.join(words)}: {done.stderr}")
        return done.stdout.strip()

    def start(self, name: str) -> tuple[float, float]:
        """Start a container; milliseconds to the exit of its process, and until it is cleaned up."""
        record = self.containers.find(name)
        record = record.replace(runs=record.runs + 1)
        self.containers._metadata.save(record)
        request = self.containers._request(record, True, (0, 0))
        begin = time.perf_counter()
        connection = client.request(self.paths.run, request)
        kind, payload = connection.next()
        if kind != frames.STARTED:
            raise SystemExit(f"bench: the container did not start: {payload.decode()}")
        _await_process(int(payload.split(b":")[1].strip(b" }")))
        ended = time.perf_counter()
        while connection.next()[0] != frames.EXITED:
            pass
        cleaned = time.perf_counter()
        connection.close()
        return (ended - begin) * 1e3, (cleaned - begin) * 1e3

    def finish(self, name: str) -> float:
        """Start a container with nobody attached; seconds until it is cleaned up, its log closed."""
        record = self.containers.find(name)
        begin = time.perf_counter()
        self.containers.start(record).close()
        monitor = self.containers.status(record).monitor
        if monitor:
            _await_process(monitor)
        return time.perf_counter() - begin

    def processes(self) -> list[int]:
        """The forkserver and what it made: their standard error is the forkserver's log."""
        log, found = f"{self.paths.run}/forks.log", []
        for name in os.listdir("/proc"):
            try:
                if name.isdigit() and os.readlink(f"/proc/{name}/fd/2") == log:
                    found.append(int(name))
            except OSError:
                continue
        return found

    def end(self) -> None:
        """Leave nothing."""
        for identifier in self("ps", "-aq", "--no-trunc").split():
            self("rm", "-f", identifier)
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        _until(lambda: not self.processes())


@contextmanager
def house() -> Iterator[House]:
    """An engine with an image, removed at the end."""
    prefix = "utsuwa-bench-"
    with (
        tempfile.TemporaryDirectory(prefix=prefix) as lasting,
        tempfile.TemporaryDirectory(prefix=prefix, dir="/dev/shm") as volatile,
    ):
        made = House(Path(lasting), Path(volatile))
        try:
            yield made
        finally:
            made.end()


class Elsewhere:
    """Times commands in a mount namespace where crun finds no unified hierarchy that it would refuse."""

    def __init__(self) -> None:
        command = on_unified([sys.executable, "-m", "bench.engine", "elsewhere"])
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def once(self, argv: Sequence[str]) -> float:
        """Wall milliseconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\0".join(argv) + "\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the helper."""
        self._process.communicate()


def serve_elsewhere() -> None:
    """The other side of ``Elsewhere``."""
    for line in sys.stdin:
        print(once(line.rstrip("\n").split("\0"))[0], flush=True)


def hot_start(home: House) -> None:
    """The table of starts through the forkserver."""
    home("create", "--name", "true", "--network", "none", IMAGE, "/bin/true")
    home("run", "--rm", IMAGE, "true")
    crun = ["crun", "--root", f"{home.directory}/crun", "run", "-b", str(home.directory / "bundle"), "bench-crun"]
    (home.directory / "bundle").mkdir()
    bundle(home.directory / "bundle")
    elsewhere = Elsewhere()
    figures = {name: Figures() for name in ("request to exit", "request to cleaned up", "python3 -I -S", "crun run")}
    for number in range(ROUNDS + 1):
        time.sleep(REST)
        ended, cleaned = home.start("true")
        time.sleep(REST)
        bare = once(BARE)[0]
        time.sleep(REST)
        row = (ended, cleaned, bare, elsewhere.once(crun))
        if number:
            for figure, milliseconds in zip(figures.values(), row, strict=True):
                figure.wall.append(milliseconds)
    elsewhere.close()
    table("hot start of /bin/true through the forkserver, 60 ms apart [ms]", figures)


def idle_memory(home: House) -> None:
    """What the kernel counts as a quiet monitor's own."""
    home("run", "-d", "--name", "idle", IMAGE, "sleep", "1000")
    record = home.containers.find("idle")
    monitor = home.containers.status(record).monitor
    _until(lambda: not _children(monitor, home.processes()))
    rows = {"a monitor, once quiet": monitor, "the forkserver, one a host": _parent(monitor)}
    print(f"\nidle memory [kB]\n{'':28}{'private':>10}{'Pss':>8}{'Rss':>8}")
    for name, pid in rows.items():
        told = _memory(pid)
        private = told["Private_Clean"] + told["Private_Dirty"]
        print(f"{name:28}{private:10}{told['Pss']:8}{told['Rss']:8}")
    home("rm", "-f", "idle")


def log_throughput(home: House) -> None:
    """Output of a container into its log, against what the same program gives to nobody."""
    count = MEGABYTES * 1_000_000 // (len(LINE) + 1)
    program = f"yes {LINE} | head -n {count}"
    home("run", "--rm", IMAGE, "true")
    seconds: dict[str, list[float]] = {"the producer alone": [], "utsuwa, json-file": []}
    for number in range(3):
        begin = time.perf_counter()
        subprocess.run(["sh", "-c", f"{program.replace('yes', 'busybox yes')} | busybox cat >/dev/null"], check=True)
        seconds["the producer alone"].append(time.perf_counter() - begin)
        home("create", "--log-opt", "max-size=-1", "--name", f"log{number}", IMAGE, "sh", "-c", program)
        seconds["utsuwa, json-file"].append(home.finish(f"log{number}"))
        _check_log(home, f"log{number}", count)
        home("rm", f"log{number}")
    print(f"\n{MEGABYTES} MB of lines of {len(LINE) + 1} bytes [MB/s]\n{'':28}{'best':>8}{'median':>8}")
    for name, taken in seconds.items():
        print(f"{name:28}{MEGABYTES / min(taken):8.0f}{MEGABYTES / statistics.median(taken):8.0f}")


def cold_run(home: House) -> None:
    """The whole command line, its forkserver there."""
    words = ["run", "--rm", "--network", "none", IMAGE, "/bin/true"]
    figures = interleave(
        [Candidate("utsuwa run --rm", [str(UTSUWA), *words]), Candidate("python3 -I -S", BARE)], 20, idle=REST
    )
    table("the command line, /bin/true, 60 ms apart [ms]", figures)


def _check_log(home: House, name: str, count: int) -> None:
    """Every line is there."""
    record = home.containers.find(name)
    size = os.path.getsize(f"{home.paths.container(record.id)}/{record.id}-json.log")
    if size < count * (len(LINE) + len('{"log":"","stream":"stdout","time":""}')):
        raise SystemExit(f"bench: the log has {size} bytes only")


def _await_process(pid: int) -> None:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    waiting = poll()
    waiting.register(process, POLLIN)
    waiting.poll()
    os.close(process)


def _children(pid: int, among: list[int]) -> list[int]:
    return [each for each in among if _parent(each) == pid]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _memory(pid: int) -> dict[str, int]:
    """/proc/PID/smaps_rollup in kilobytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) for line in lines}


def _until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("bench: the engine's processes did not become quiet")
        time.sleep(0.02)


def main() -> None:
    """Print the engine's tables."""
    with house() as home:
        hot_start(home)
        idle_memory(home)
        log_throughput(home)
        cold_run(home)


if __name__ == "__main__":
    serve_elsewhere() if sys.argv[1:] == ["elsewhere"] else main()

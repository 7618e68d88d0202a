"""A whole engine in a directory of its own, for tests: the command line, its processes, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tools.oci_image import busybox_layer, write_layout

SOURCE = Path(__file__).resolve().parents[2] / "src"
_CODE = "import sys; sys.path.insert(0, sys.argv.pop(1)); from utsuwa.cli.main import main; sys.exit(main())"
LAUNCHER = Path(sys.executable).with_name("utsuwa")
IMAGE = "utsuwa/test"
_SPEECH = {"Env": ["PATH=/bin:/usr/bin", "FROM_IMAGE=yes"], "Cmd": ["sh", "-c", "echo default"], "WorkingDir": "/"}


class Household:
    """``utsuwa`` with its state in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.root, self.run_directory = directory / "root", directory / "run"
        self.environment = {
            **os.environ,
            "UTSUWA_ROOT": str(self.root),
            "UTSUWA_RUN": str(self.run_directory),
            "UTSUWA_NETWORK": "none",
        }

    def command(self, *words: str) -> list[str]:
        """The command line: the installed launcher, or what it makes of it."""
        if LAUNCHER.exists():
            return [str(LAUNCHER), *words]
        python = getattr(sys, "_base_executable", sys.executable)
        return [python, "-I", "-S", "-X", "utf8", "-c", _CODE, str(SOURCE), *words]

    def __call__(self, *words: str, stdin: bytes = b"", timeout: float = 60) -> subprocess.CompletedProcess[bytes]:
        """Run to the end."""
        return subprocess.run(
            self.command(*words), input=stdin, capture_output=True, env=self.environment, timeout=timeout, check=False
        )

    def ok(self, *words: str, stdin: bytes = b"") -> str:
        """Run to the end, which must be a good one; what it printed."""
        done = self(*words, stdin=stdin)
        assert done.returncode == 0, (words, done.returncode, done.stderr.decode())
        return done.stdout.decode()

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        """Start, with pipes."""
        return subprocess.Popen(
            self.command(*words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
        )

    def load(self, directory: Path) -> None:
        """Bring the test image in."""
        archive = directory / "image.tar"
        write_layout(archive, [busybox_layer()], f"{IMAGE}:latest", _SPEECH)
        self.ok("load", "-i", str(archive))

    def forkserver(self) -> int:
        """The pid of the one forkserver (its monitors have the same command line, and it as parent)."""
        ours = self._family()
        return next(pid for pid in ours if _parent(pid) not in ours)

    def monitors(self) -> list[int]:
        """The pids of the monitors."""
        leader = self.forkserver()
        return [pid for pid in self._family() if pid != leader and _parent(pid) == leader]

    def _family(self) -> list[int]:
        """Processes that hold our run directory's log as standard error: the forkserver and what it forked."""
        log = str(self.run_directory / "forks.log")
        found = []
        for name in os.listdir("/proc"):
            try:
                if name.isdigit() and os.readlink(f"/proc/{name}/fd/2") == log:
                    found.append(int(name))
            except OSError:
                continue
        return found

    def end(self) -> None:
        """Remove every container and the forkserver."""
        for line in self("ps", "-aq", "--no-trunc").stdout.decode().split():
            self("rm", "-f", line)
        for pid in self._family():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:  # some end together with the one before
                continue
            until(lambda pid=pid: not _runs(pid))

    def leftovers(self, *identifiers: str) -> list[str]:
        """Traces of containers: files, names, cgroups, processes, mounts."""
        found = [str(path) for part in ("containers", "names", "snapshots/keys") for path in _entries(self.root / part)]
        found += [str(path) for part in ("monitors", "runtime") for path in _entries(self.run_directory / part)]
        found = [path for path in found if not path.endswith(("/.seccomp", "/.drafts"))]
        for hierarchy in _entries(Path("/sys/fs/cgroup")):
            found += [f"{hierarchy}/utsuwa/{name}" for name in identifiers if (hierarchy / "utsuwa" / name).exists()]
        found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(self.root) in line]
        return found


def until(condition: Callable[[], bool], explain: Callable[[], object] | None = None, seconds: float = 30) -> None:
    """Wait for something that is about to become true; ``explain`` says what is in the way when it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen in time{': ' + str(explain()) if explain else ''}"
        time.sleep(0.005)


def _runs(pid: int) -> bool:
    """There is such a process, and it is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []

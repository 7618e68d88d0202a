"""What the OCI command line suite is made of: runtimes, bundles, and a container that is gone when its test is."""

from __future__ import annotations

import copy
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = ROOT / ".venv/bin/urun"
SOURCE = ROOT / "src"
PATIENCE = 20.0

APPLETS = (
    *("basename", "cat", "chmod", "chown", "cp", "cut", "date", "dd", "df", "dirname", "echo", "env", "expr", "false"),
    *("find", "grep", "head", "hostname", "id", "ifconfig", "ip", "kill", "ln", "ls", "mkdir", "mkfifo", "mknod"),
    *("mount", "mv", "nc", "od", "printf", "ps", "pwd", "readlink", "rm", "rmdir", "sed", "seq", "setsid", "sh"),
    *("sleep", "sort", "stat", "stty", "sync", "tail", "tee", "test", "touch", "tr", "true", "tty", "umount", "uname"),
    *("wc", "whoami", "xargs"),
)

CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]

CONFIG: dict[str, Any] = {
    "ociVersion": "1.0.2",
    "process": {
        "terminal": False,
        "user": {"uid": 0, "gid": 0},
        "args": ["true"],
        "env": ["PATH=/bin:/usr/bin:/sbin", "TERM=xterm"],
        "cwd": "/",
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES),
        "noNewPrivileges": True,
    },
    "root": {"path": "rootfs", "readonly": False},
    "hostname": "inside",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        },
        {
            "destination": "/sys",
            "type": "sysfs",
            "source": "sysfs",
            "options": ["nosuid", "noexec", "nodev", "ro"],
        },
    ],
    "linux": {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
    },
}


def urun() -> list[str]:
    """How our runtime is started: by its launcher, or where that is not installed, as the launcher would do it.

    UTSUWA_URUN=python asks for the latter, to tell faults of the launcher from faults of what it starts.
    """
    if os.environ.get("UTSUWA_URUN") != "python" and LAUNCHER.exists():
        return [str(LAUNCHER)]
    program = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); from utsuwa.cli.oci import main; main()"
    return ["/usr/bin/python3", "-I", "-S", "-c", program]


def command(name: str, directory: Path) -> list[str]:
    """The words that start the runtime ``name``.

    crun of Debian 12 refuses a hybrid host whose cgroup2 hierarchy has no controllers: hide it, for crun alone.
    """
    if name == "urun":
        return urun()
    if name == "crun" and os.path.isdir("/sys/fs/cgroup/unified"):
        script = directory / "crun"
        script.write_text(
            '#!/bin/sh\nexec unshare -m sh -c \'mount -t tmpfs none /sys/fs/cgroup/unified; exec crun "$@"\' - "$@"\n'
        )
        script.chmod(0o755)
        return [str(script)]
    return [shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin") or name]


def make_rootfs(directory: Path, busybox: Path) -> Path:
    """A root file system of busybox and nothing else."""
    for name in ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "var"):
        (directory / name).mkdir(parents=True)
    os.link(busybox, directory / "bin/busybox")
    for applet in APPLETS:
        (directory / "bin" / applet).symlink_to("busybox")
    (directory / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
    (directory / "etc/group").write_text("root:x:0:\nuser:x:1000:\ntty:x:5:\n")
    return directory


def eventually(condition: Callable[[], Any], what: str = "condition") -> Any:
    """The first true value of ``condition``; the test fails when there is none in time."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come true within {PATIENCE} s"
        time.sleep(0.01)
    return value


class Bundle:
    """A bundle whose configuration a test changes before it is used."""

    def __init__(self, path: Path, busybox: Path) -> None:
        self.path = path
        self.rootfs = make_rootfs(path / "rootfs", busybox)
        self.config = copy.deepcopy(CONFIG)

    @property
    def process(self) -> dict[str, Any]:
        return self.config["process"]

    @property
    def linux(self) -> dict[str, Any]:
        return self.config["linux"]

    def shell(self, script: str) -> Bundle:
        """Let the container run a shell script."""
        self.process["args"] = ["sh", "-c", script]
        return self

    def sleep(self) -> Bundle:
        """Let the container run until it is killed; SIGTERM ends it with 3."""
        return self.shell("trap 'exit 3' TERM; echo ready; sleep 1000 & wait")

    def as_user(self, directory: Path, uid: int) -> None:
        """Make it a container that user ``uid``, who gets ``directory`` with all in it, can run."""
        self.linux["namespaces"] += [{"type": "user"}, {"type": "cgroup"}]
        for kind in "ug":
            self.linux[f"{kind}idMappings"] = [{"containerID": 0, "hostID": uid, "size": 1}]
        self.config["mounts"] = [mount for mount in self.config["mounts"] if mount["type"] == "proc"]
        for path in (directory, *directory.rglob("*")):
            os.chown(path, uid, uid, follow_symlinks=False)
        for path in (directory, *directory.parents):
            path.chmod(path.stat().st_mode | 0o055)

    def write(self) -> Path:
        (self.path / "config.json").write_text(json.dumps(self.config))
        return self.path


class Runtime:
    """One runtime with a root of its own, and the containers that a test makes with it."""

    def __init__(self, name: str, directory: Path, identifier: str) -> None:
        self.name = name
        self.id = identifier
        self.directory = directory
        self.root = directory / "root"
        self.argv = [*command(name, directory), "--root", str(self.root)]
        self._made: list[str] = []

    def __call__(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Call the runtime; output and errors are captured."""
        with self._nothing() as nothing:
            if "input" not in options:
                options.setdefault("stdin", nothing)
            return subprocess.run(
                [*self.argv, *words], capture_output=True, text=True, timeout=60, check=False, **options
            )

    def _nothing(self) -> IO[bytes]:
        """An empty standard input that is not /dev/null: crun 1.8.1 gives that of the host to the container's user."""
        path = self.directory / "nothing"
        path.touch()
        return open(path, "rb")

    def ok(self, *words: str, **options: Any) -> str:
        """Call the runtime, which must succeed; its output."""
        done = self(*words, **options)
        assert done.returncode == 0, f"{self.name} {' '.join(words)}: {done.returncode}: {done.stdout}{done.stderr}"
        return str(done.stdout)

    def fails(self, *words: str, code: int = 1, **options: Any) -> str:
        """Call the runtime, which must fail; what it says."""
        done = self(*words, **options)
        assert done.returncode == code, f"{self.name} {' '.join(words)}: {done.returncode}: {done.stdout}{done.stderr}"
        return str(done.stdout + done.stderr)

    def create(self, bundle: Bundle, *options: str, identifier: str = "", log: Path | None = None) -> str:
        """Create a container, whose output goes to a file: a pipe would stay open as long as it lives."""
        identifier = identifier or self.id
        self._made.append(identifier)
        with open(log or self.directory / f"{identifier}.log", "w") as output, self._nothing() as nothing:
            done = subprocess.run(
                [*self.argv, "create", "--bundle", str(bundle.write()), *options, identifier],
                stdin=nothing,
                stdout=output,
                stderr=output,
                timeout=60,
                check=False,
            )
        assert done.returncode == 0, (log or self.directory / f"{identifier}.log").read_text()
        return identifier

    def running(self, bundle: Bundle, *options: str, identifier: str = "") -> str:
        """Create and start a container that sleeps, and wait until it does."""
        identifier = self.create(bundle, *options, identifier=identifier)
        self.ok("start", identifier)
        if bundle.process["args"][-1].startswith("trap"):
            eventually(lambda: "ready" in self.output(identifier), "the container's output")
        return identifier

    def output(self, identifier: str = "") -> str:
        """What a created container has written so far."""
        return (self.directory / f"{identifier or self.id}.log").read_text()

    def run(self, bundle: Bundle, *options: str, **popen: Any) -> subprocess.CompletedProcess[str]:
        """Run a container in the foreground."""
        self._made.append(self.id)
        return self("run", "--bundle", str(bundle.write()), *options, self.id, **popen)

    def inside(self, bundle: Bundle, script: str, *options: str) -> str:
        """What a shell script writes in a container that ends well."""
        done = self.run(bundle.shell(script), *options)
        assert done.returncode == 0, f"{self.name}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def state(self, identifier: str = "") -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.ok("state", identifier or self.id))
        return state

    def status(self, identifier: str = "") -> str:
        return str(self.state(identifier)["status"])

    def exists(self, identifier: str = "") -> bool:
        return self("state", identifier or self.id).returncode == 0

    def until(self, status: str, identifier: str = "") -> None:
        """Wait until the container has that status."""
        eventually(lambda: self.status(identifier) == status, f"status {status}")

    def stop(self, identifier: str = "") -> None:
        """Kill the container and wait until it is stopped."""
        pid = self.state(identifier)["pid"]
        with Process(pid) as process:
            self.ok("kill", identifier or self.id, "KILL")
            process.wait()
        self.until("stopped", identifier)

    def clean(self) -> None:
        """Remove whatever is left."""
        for identifier in {self.id, *self._made}:
            self("delete", "--force", identifier)


class Process:
    """A process by pidfd."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._fd = os.pidfd_open(pid)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_exc: object) -> None:
        os.close(self._fd)

    def wait(self) -> None:
        ready, _, _ = select.select([self._fd], [], [], PATIENCE)
        assert ready, f"process {self.pid} did not end"


def cgroups_of(identifier: str) -> list[str]:
    """Cgroup directories of that name in any hierarchy."""
    found = subprocess.run(
        ["find", "/sys/fs/cgroup", "-type", "d", "-name", identifier], capture_output=True, text=True, check=False
    )
    return found.stdout.split()


def mounts_below(path: Path) -> list[str]:
    """Mounts of this mount namespace below ``path``."""
    with open("/proc/self/mountinfo") as table:
        return [line for line in table if line.split()[4].startswith(f"{path}")]


def identifiers() -> Iterator[str]:
    """Container ids that no other run of the suite uses."""
    number = 0
    while True:
        number += 1
        yield f"utsuwa-test-{os.getpid()}-{number}"

"""Debian's podman drives urun: run, exec, kill, logs, exit status, terminal."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.needs import needs

pytestmark = needs("root", "podman", "conmon")

# podman asks for more files than a host without CAP_SYS_RESOURCE can grant; and for conmon's cgroup it makes plain
# directories in the place of hierarchies that are not mounted, which nobody removes.
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000", "--cgroups", "no-conmon")


class Podman:
    """podman with all of its state in a directory of the test."""

    def __init__(self, directory: Path, runtime: str, group: str, rootfs: Path) -> None:
        self._words = [
            *("podman", "--root", f"{directory}/root", "--runroot", f"{directory}/run", "--tmpdir", f"{directory}/tmp"),
            *(
                "--storage-driver",
                "vfs",
                "--events-backend",
                "file",
                "--cgroup-manager",
                "cgroupfs",
                "--runtime",
                runtime,
            ),
        ]
        self._group = group
        self._rootfs = rootfs

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._words, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False
        )

    def run(self, *words: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """podman run of a program in the root file system."""
        settings = ("--network", "none", "--cgroup-parent", f"/{self._group}", *LIMITS, *options)
        return self("run", *settings, "--rootfs", str(self._rootfs), *words)


@pytest.fixture
def podman(urun: str, group: str, rootfs: Path) -> Iterator[Podman]:
    """podman, and nothing of it when the test ends. Its run root may have 50 characters at most."""
    with tempfile.TemporaryDirectory(prefix="utsuwa-", dir="/tmp") as directory:
        found = Podman(Path(directory), urun, group, rootfs)
        yield found
        found("rm", "--all", "--force", "--time", "0")


def test_run_gives_output_and_exit_status(podman: Podman) -> None:
    done = podman.run("sh", "-c", "echo out; exit 3", options=("--rm",))
    assert (done.returncode, done.stdout) == (3, "out\n"), done.stderr


def test_a_missing_program_is_127(podman: Podman) -> None:
    done = podman.run("/no-such-program", options=("--rm",))
    assert done.returncode == 127
    assert "no such file or directory" in done.stderr


def test_a_program_without_permission_is_126(podman: Podman, rootfs: Path) -> None:
    (rootfs / "plain").write_text("text")
    assert podman.run("/plain", options=("--rm",)).returncode == 126


def test_exec_kill_wait_and_logs(podman: Podman) -> None:
    script = "trap 'exit 7' TERM; echo up; sleep 1000 & wait"
    started = podman.run("sh", "-c", script, options=("--detach", "--name", "one"))
    assert started.returncode == 0, started.stderr
    assert podman("exec", "one", "echo", "inside").stdout == "inside\n"
    assert podman("exec", "one", "sh", "-c", "exit 9").returncode == 9
    assert podman("kill", "--signal", "TERM", "one").returncode == 0
    assert podman("wait", "one").stdout == "7\n"
    assert podman("logs", "one").stdout == "up\n"


def test_a_terminal(podman: Podman) -> None:
    done = podman.run("sh", "-c", "test -t 0 && test -t 1 && echo tty", options=("--rm", "--tty"))
    assert (done.returncode, done.stdout) == (0, "tty\n"), done.stderr


def test_memory_and_process_limits(podman: Podman) -> None:
    done = podman.run("sh", "-c", "ulimit -n", options=("--rm", "--memory", "64m", "--pids-limit", "50"))
    assert (done.returncode, done.stdout) == (0, "1024\n"), done.stderr


def test_pause_and_unpause(podman: Podman) -> None:
    podman.run("sleep", "1000", options=("--detach", "--name", "one"))
    assert podman("pause", "one").returncode == 0
    assert podman("inspect", "--format", "{{.State.Status}}", "one").stdout == "paused\n"
    assert podman("unpause", "one").returncode == 0

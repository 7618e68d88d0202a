"""Debian's containerd, by its shim and ctr, drives urun: run, exec, kill, pause, exit status, terminal."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.oci import eventually
from tests.contract.test_oci_terminal import read_all
from tests.needs import needs

pytestmark = needs("root", "containerd", "ctr")

CONFIG = """
version = 2
root = "{directory}/root"
state = "{directory}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{directory}/sock"
[ttrpc]
address = "{directory}/sock.ttrpc"
"""


class Ctr:
    """ctr in a namespace of the test, to a containerd of the test."""

    def __init__(self, directory: Path, runtime: str, namespace: str, rootfs: Path) -> None:
        self.words = ["ctr", "--address", f"{directory}/sock", "--namespace", namespace]
        self._runtime = runtime
        self._rootfs = rootfs

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.words, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False
        )

    def run_words(self, identifier: str, *words: str, options: tuple[str, ...] = ()) -> list[str]:
        return ["run", *options, "--runc-binary", self._runtime, "--rootfs", str(self._rootfs), identifier, *words]

    def run(self, identifier: str, *words: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """ctr run of a program in the root file system."""
        return self(*self.run_words(identifier, *words, options=options))

    def status(self, identifier: str) -> str:
        rows = [line.split() for line in self("task", "ls").stdout.splitlines()]
        return next((row[2] for row in rows if row[0] == identifier), "")


@pytest.fixture
def ctr(tmp_path: Path, urun: str, group: str, rootfs: Path) -> Iterator[Ctr]:
    """ctr with a containerd of its own, started and ended by us."""
    directory = tmp_path / "containerd"
    directory.mkdir()
    (directory / "config.toml").write_text(CONFIG.format(directory=directory))
    with (directory / "log").open("w") as log:
        daemon = subprocess.Popen(["containerd", "--config", str(directory / "config.toml")], stdout=log, stderr=log)
    try:
        found = Ctr(directory, urun, group, rootfs)
        eventually(lambda: found("version").returncode == 0, "containerd")
        yield found
        for identifier in found("task", "ls", "-q").stdout.split():
            found("task", "delete", "--force", identifier)
    finally:
        daemon.terminate()
        daemon.wait(20)
        shutil.rmtree(f"/run/containerd/runc/{group}", ignore_errors=True)


def test_run_gives_output_and_exit_status(ctr: Ctr) -> None:
    done = ctr.run("one", "sh", "-c", "echo out; exit 3", options=("--rm",))
    assert (done.returncode, done.stdout) == (3, "out\n"), done.stderr


def test_a_missing_program_is_told(ctr: Ctr) -> None:
    done = ctr.run("one", "/no-such-program", options=("--rm",))
    assert done.returncode == 1
    assert "no such file or directory" in done.stderr


def test_exec_pause_kill_and_delete(ctr: Ctr) -> None:
    script = "trap 'exit 7' TERM; sleep 1000 & wait"
    started = ctr.run("one", "sh", "-c", script, options=("--detach",))
    assert started.returncode == 0, started.stderr
    assert ctr.status("one") == "RUNNING"
    assert ctr("task", "exec", "--exec-id", "a", "one", "echo", "inside").stdout == "inside\n"
    assert ctr("task", "exec", "--exec-id", "b", "one", "sh", "-c", "exit 9").returncode == 9
    assert len(ctr("task", "ps", "one").stdout.splitlines()) == 3
    assert ctr("task", "pause", "one").returncode == 0
    assert ctr.status("one") == "PAUSED"
    assert ctr("task", "resume", "one").returncode == 0
    assert ctr("task", "kill", "--signal", "TERM", "one").returncode == 0
    eventually(lambda: ctr.status("one") == "STOPPED")
    deleted = ctr("task", "delete", "one")
    assert "exit code 7" in deleted.stderr or deleted.returncode == 7


def test_a_terminal(ctr: Ctr) -> None:
    master, slave = pty.openpty()
    words = ctr.run_words("one", "sh", "-c", "test -t 0 && echo tty; exit 4", options=("--rm", "--tty"))
    with subprocess.Popen(
        [*ctr.words, *words], stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    ) as process:
        os.close(slave)
        said = read_all(master)
        assert (process.wait(60), said.strip()) == (4, "tty")
    os.close(master)


def test_what_it_uses_and_what_its_limits_are(ctr: Ctr) -> None:
    started = ctr.run("one", "sleep", "1000", options=("--detach", "--memory-limit", str(64 << 20)))
    assert started.returncode == 0, started.stderr
    metrics = ctr("task", "metrics", "one")
    assert "memory.usage_in_bytes" in metrics.stdout, metrics.stdout


def test_many_at_once(ctr: Ctr) -> None:
    words = [ctr.run_words(f"c{number}", "sh", "-c", f"exit {number}", options=("--rm",)) for number in range(8)]
    started = [subprocess.Popen([*ctr.words, *each], stdin=subprocess.DEVNULL) for each in words]
    assert [each.wait(60) for each in started] == list(range(8))


def test_a_checkpoint_that_can_not_be_made_leaves_the_container_running(ctr: Ctr, tmp_path: Path) -> None:
    ctr.run("one", "sleep", "1000", options=("--detach",))
    refused = ctr("task", "checkpoint", "--image-path", str(tmp_path / "image"), "one")
    if refused.returncode == 0:
        pytest.skip("CRIU works on this machine")
    assert "criu" in refused.stderr.lower()
    assert ctr.status("one") == "RUNNING"
    assert ctr("task", "exec", "--exec-id", "a", "one", "echo", "alive").stdout == "alive\n"

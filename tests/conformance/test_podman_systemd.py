"""Debian's podman on a host of systemd: it asks for the systemd cgroup driver, and finds its containers there."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.needs import needs

pytestmark = needs("root", "systemd", "podman", "conmon")

MIB = 1 << 20


class Podman:
    """podman with all of its state in a directory of the test."""

    def __init__(self, directory: Path, runtime: str) -> None:
        places = [f"--{name}={directory}/{name}" for name in ("root", "runroot", "tmpdir")]
        self._words = ["podman", *places, "--storage-driver=vfs", "--events-backend=file"]
        self._words += ["--cgroup-manager=systemd", f"--runtime={runtime}"]

    def __call__(self, *words: str) -> str:
        done = subprocess.run(
            [*self._words, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=False
        )
        assert done.returncode == 0, f"podman {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout.strip()


@pytest.fixture
def podman(urun: str) -> Iterator[Podman]:
    """podman, and nothing of it when the test ends."""
    with tempfile.TemporaryDirectory(prefix="utsuwa-", dir="/tmp") as directory:
        found = Podman(Path(directory), urun)
        yield found
        found("rm", "--all", "--force", "--time", "0")


def test_podman_s_containers_are_scopes(podman: Podman, rootfs: Path) -> None:
    options = ("--network=none", "--memory=32m", "--memory-swap=48m", "--pids-limit=50", "--cpus=0.5")
    container = podman("run", "-d", *options, "--rootfs", str(rootfs), "sleep", "1000")
    words = ["systemctl", "show", f"libpod-{container}.scope", "--property=ActiveState,Slice,MemoryMax,MemorySwapMax"]
    told = subprocess.run(
        [*words, "--property=TasksMax,CPUQuotaPerSecUSec"], capture_output=True, text=True, check=True
    )
    assert dict(line.split("=") for line in told.stdout.split()) == {
        "ActiveState": "active",
        "Slice": "machine.slice",
        "MemoryMax": str(32 * MIB),
        "MemorySwapMax": str(16 * MIB),
        "TasksMax": "50",
        "CPUQuotaPerSecUSec": "500ms",
    }
    assert podman("exec", container, "cat", "/proc/self/cgroup") == "0::/"
    (found,) = json.loads(podman("inspect", container))
    assert found["State"]["CgroupPath"] == f"/machine.slice/libpod-{container}.scope"
    podman("rm", "--force", "--time", "0", container)
    assert not Path(f"/sys/fs/cgroup/machine.slice/libpod-{container}.scope").exists()

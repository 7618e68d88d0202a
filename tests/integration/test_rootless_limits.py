"""Limits for an ordinary user's containers: in cgroups that were lent, in scopes of the user's systemd, or refused."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.ordinary import lend, take_back
from tests.integration.household import IMAGE
from tests.integration.lodger import NOBODY, Lodger
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox", "newuidmap", "setpriv", "unshare", "nsenter")]

_MIB = 1 << 20


def in_cgroups() -> Iterator[Lodger]:
    made, files = lend(NOBODY)
    try:
        yield from settled(Lodger(network=False, cgroups=files))
    finally:
        take_back(made)


def with_systemd() -> Iterator[Lodger]:
    subprocess.run(["systemctl", "start", "user@1000.service"], check=True)
    try:
        yield from settled(Lodger(uid=1000, network=False, runtime="/run/user/1000"))
    finally:
        subprocess.run(["systemctl", "stop", "user@1000.service"], check=True)


def settled(lodger: Lodger) -> Iterator[Lodger]:
    lodger.settle()
    yield lodger
    lodger.leave()


@pytest.fixture(params=[in_cgroups, pytest.param(with_systemd, marks=needs("systemd"))])
def lodger(request: pytest.FixtureRequest) -> Iterator[Lodger]:
    yield from request.param()


def limits(pid: str) -> dict[str, str]:
    """What the files of a process's cgroups say, whichever version they are of."""
    found = {}
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        for top in ("", *names.split(","), "unified"):
            for file in ("memory.limit_in_bytes", "memory.max", "pids.max", "cpu.max", "cpu.cfs_quota_us"):
                place = Path(f"/sys/fs/cgroup/{top}{path}/{file}")
                if place.exists():
                    found[file.partition(".")[0]] = place.read_text().split()[0]
    return found


def test_limits_and_all_that_needs_a_cgroup(lodger: Lodger) -> None:
    options = ("-m", "64m", "--cpus", "0.5", "--pids-limit", "50", "--network", "none")
    lodger.ok("run", "-d", "--name", "box", *options, IMAGE, "sleep", "1000")
    pid = lodger.ok("inspect", "-f", "{{.State.Pid}}", "box").strip()
    assert limits(pid) == {"memory": str(64 * _MIB), "pids": "50", "cpu": "50000"}
    lodger.ok("update", "-m", "32m", "--memory-swap", "64m", "--pids-limit", "30", "box")
    assert limits(pid) == {"memory": str(32 * _MIB), "pids": "30", "cpu": "50000"}
    shown = json.loads(lodger.ok("stats", "--no-stream", "--format", "json", "box"))
    assert shown["MemUsage"].endswith("/ 32MiB")
    assert shown["PIDs"] == "1"
    lodger.ok("pause", "box")
    assert lodger.ok("inspect", "-f", "{{.State.Status}}", "box") == "paused\n"
    lodger.ok("unpause", "box")
    assert lodger.ok("exec", "box", "echo", "goes on") == "goes on\n"
    assert "sleep 1000" in lodger.ok("top", "box")
    lodger.ok("restart", "-t", "0", "box")
    pid = lodger.ok("inspect", "-f", "{{.State.Pid}}", "box").strip()
    assert limits(pid)["memory"] == str(32 * _MIB)
    place = Path(f"/proc/{pid}/cgroup").read_text().splitlines()[0].split(":", 2)[2]
    lodger.ok("rm", "-f", "box")
    assert not [path for path in Path("/sys/fs/cgroup").glob(f"**{place}") if path.exists()]

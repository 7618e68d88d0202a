"""Containers by other OCI runtimes: runc, crun and gVisor's runsc live under the same monitor as our own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, Household, until
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox")]

_CONFIGURATION = """
[runtimes.gvisor]
path = "/usr/bin/runsc"
arguments = ["--platform=ptrace", "--ignore-cgroups", "--network=none"]

[runtimes.careful]
path = "/usr/bin/crun"
arguments = ["--cgroup-manager=disabled"]
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    directory = tmp_path_factory.mktemp("runtimes")
    directory.chmod(0o755)
    household = Household(directory)
    (directory / "runtimes.toml").write_text(_CONFIGURATION)
    household.environment["UTSUWA_RUNTIMES"] = str(directory / "runtimes.toml")
    household.load(directory)
    yield household
    household.end()


@pytest.fixture(autouse=True)
def nothing_stays(house: Household) -> Iterator[None]:
    yield
    for identifier in house.ok("ps", "-aq", "--no-trunc").split():
        house.ok("rm", "-f", identifier)
    assert house.leftovers() == []
    for root in (house.run_directory / "runtimes").glob("*"):
        assert list(root.glob("[0-9a-f]" * 12 + "*")) == []


@pytest.fixture(autouse=True)
def the_null_device_stays_the_hosts() -> Iterator[None]:
    """runsc gives its standard input away."""
    before = os.stat("/dev/null")
    yield
    after = os.stat("/dev/null")
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)


RUNTIMES = [
    pytest.param("runc", marks=needs("runc")),
    pytest.param("crun", marks=needs("crun", "cgroup2")),
    pytest.param("careful", marks=needs("crun", "cgroup2")),
    pytest.param("gvisor", marks=needs("gvisor")),
]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_whole_life(house: Household, runtime: str) -> None:
    script = "echo out; echo err >&2; echo $FROM_IMAGE $HOME $(id -u); read line; echo got $line; exit 3"
    done = house("run", "--rm", "-i", "--runtime", runtime, IMAGE, "sh", "-c", script, stdin=b"typed\n")
    expected = [b"out", b"yes /root 0" if b"/root" in done.stdout else b"yes / 0", b"got typed", b""]
    assert (done.stdout.split(b"\n"), done.stderr, done.returncode) == (expected, b"err\n", 3)
    house.ok("run", "-d", "--name", "box", "--runtime", runtime, IMAGE, "sh", "-c", "echo begun; sleep 1000")
    until(lambda: house.ok("logs", "box") == "begun\n")
    assert house.ok("inspect", "-f", "{{.HostConfig.Runtime}} {{.State.Status}}", "box") == f"{runtime} running\n"
    assert house.ok("exec", "box", "sh", "-c", "echo inside $FROM_IMAGE") == "inside yes\n"
    assert house("exec", "-u", "7", "box", "sh", "-c", "exit $(id -u)").returncode == 7
    house.ok("stop", "-t", "0", "box")
    assert house.ok("wait", "box") in ("137\n", "143\n")  # gVisor lets SIGTERM end the first process
    house.ok("start", "box")
    until(lambda: house.ok("logs", "box") == "begun\nbegun\n")
    house.ok("rm", "-f", "box")


@pytest.mark.parametrize("runtime", RUNTIMES[:3])
def test_terminals_mistakes_and_volumes(house: Household, runtime: str) -> None:
    printed = house.ok("run", "--rm", "-t", "--runtime", runtime, IMAGE, "sh", "-c", "test -t 0 && echo tty")
    assert printed == "tty\r\n"
    done = house("run", "--rm", "--runtime", runtime, IMAGE, "nonexistent")
    assert (done.returncode, done.stderr.startswith(b"utsuwa: ")) == (127, True)
    house.ok("run", "--rm", "-v", "data:/data:ro", "-u", "9", "--runtime", runtime, IMAGE, "ls", "/data")
    house.ok("run", "-d", "--name", "term", "--runtime", runtime, IMAGE, "sleep", "1000")
    assert house.ok("exec", "-t", "term", "sh", "-c", "test -t 0 && echo tty") == "tty\r\n"
    house.ok("volume", "prune", "-af")


@needs("runc")
def test_the_monitor_is_killed(house: Household) -> None:
    house.ok("run", "-d", "--name", "orphan", "--runtime", "runc", IMAGE, "sleep", "1000")
    for pid in house.monitors():
        os.kill(pid, signal.SIGKILL)
    until(lambda: house.ok("inspect", "-f", "{{.State.Status}}", "orphan") == "running\n")
    house.ok("rm", "-f", "orphan")


def test_what_is_refused(house: Household, tmp_path: Path) -> None:
    for words, text in (
        (["--runtime", "nosuch"], "unknown or invalid runtime name: nosuch"),
        (["--runtime", "/nosuch/runtime"], "is not there"),
        (["--runtime", "crun", "--init"], "unsupported: --init"),
        (["--runtime", "crun", "--mount", "src=vol,dst=/v,volume-subpath=a"], "unsupported: the subpath"),
    ):
        done = house("create", *words, IMAGE)
        assert done.returncode == 1
        assert text in done.stderr.decode()
    house.ok("volume", "prune", "-af")

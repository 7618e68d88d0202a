"""SIGKILL for every process of the engine: containers go on or are cleaned up, and nothing stays."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, Household, until
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox")]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Household]:
    household = Household(tmp_path)
    household.load(tmp_path)
    yield household
    household.end()


def state(house: Household, name: str) -> str:
    return house.ok("inspect", "-f", "{{.State.Status}}", name).strip()


def test_the_client_is_killed(house: Household) -> None:
    client = house.begin("run", "--name", "cc", IMAGE, "sh", "-c", "echo before; sleep 0.3; echo after; sleep 1000")
    assert client.stdout is not None
    assert client.stdout.readline() == b"before\n"
    client.kill()
    client.communicate()
    until(lambda: house.ok("logs", "cc") == "before\nafter\n")
    assert state(house, "cc") == "running"
    house.ok("rm", "-f", "cc")
    assert house.leftovers() == []


def test_the_client_of_a_passing_container_is_killed(house: Household) -> None:
    client = house.begin("run", "--rm", IMAGE, "sh", "-c", "echo ready; sleep 0.2")
    assert client.stdout is not None
    assert client.stdout.readline() == b"ready\n"
    client.kill()
    client.communicate()
    until(lambda: house.leftovers() == [])


def test_the_forkserver_is_killed(house: Household) -> None:
    house.ok("run", "-d", "--name", "one", IMAGE, "sh", "-c", "sleep 0.3; echo still logged; exit 7")
    os.kill(house.forkserver(), signal.SIGKILL)
    house.ok("run", "-d", "--name", "two", IMAGE, "sleep", "1000")
    assert house.ok("wait", "one") == "7\n"
    assert house.ok("logs", "one") == "still logged\n"
    assert house.ok("exec", "two", "echo", "alive") == "alive\n"
    house.ok("rm", "-f", "one", "two")
    assert house.leftovers() == []


@pytest.mark.parametrize("verb", ["rm", "stop", "kill"])
def test_the_monitor_is_killed(house: Household, verb: str) -> None:
    identifier = house.ok("run", "-d", "--name", "cc", IMAGE, "sleep", "1000").strip()
    for pid in house.monitors():
        os.kill(pid, signal.SIGKILL)
    assert state(house, "cc") == "running"
    if verb == "rm":
        house.ok("rm", "-f", "cc")
    else:
        house.ok(*(["stop", "-t", "0"] if verb == "stop" else ["kill"]), "cc")
        until(lambda: state(house, "cc") == "exited")
        told = json.loads(house.ok("inspect", "cc"))[0]["State"]
        assert told["ExitCode"] == 255
        assert "monitor was killed" in told["Error"]
        house.ok("start", "cc")
        assert state(house, "cc") == "running"
        house.ok("rm", "-f", "cc")
    assert house.leftovers(identifier) == []


def test_monitor_and_process_are_killed(house: Household) -> None:
    """Nobody is left to tell: a passing container is removed by the next that lists, another is shown as ended."""
    passing = house.ok("run", "-d", "--rm", IMAGE, "sleep", "1000").strip()
    lasting = house.ok("run", "-d", IMAGE, "sleep", "1000").strip()
    pids = [json.loads(house.ok("inspect", name))[0]["State"]["Pid"] for name in (passing, lasting)]
    for pid in (*house.monitors(), *pids):
        os.kill(pid, signal.SIGKILL)
    until(lambda: house.ok("ps", "-aq", "--no-trunc").split() == [lasting])
    until(lambda: not house.ok("ps", "-q"))
    assert "Exited (255)" in house.ok("ps", "-a")
    house.ok("rm", lasting)
    assert house.leftovers(passing, lasting) == []


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08])
def test_the_client_is_killed_at_some_moment(house: Household, delay: float) -> None:
    """Whatever it was doing, `ps` and `rm` are enough to have nothing left."""
    client = house.begin("run", "--rm", "--name", "cc", IMAGE, "sh", "-c", "sleep 0.05")
    with contextlib.suppress(subprocess.TimeoutExpired):
        client.communicate(timeout=delay)
    client.kill()
    client.communicate()

    def clean() -> bool:
        house.ok("ps", "-a")
        return house.leftovers() == []

    until(clean, house.leftovers)


@pytest.mark.parametrize("delay", [0.0, 0.005, 0.01, 0.02, 0.03])
def test_the_monitor_is_killed_at_some_moment(house: Household, delay: float) -> None:
    house.ok("run", "--rm", IMAGE, "true")  # the forkserver is there
    client = house.begin("run", "-d", "--name", "cc", IMAGE, "sleep", "1000")
    until(lambda: client.poll() is not None or bool(house.monitors()))
    import time

    time.sleep(delay)
    for pid in house.monitors():
        os.kill(pid, signal.SIGKILL)
    client.communicate(timeout=20)
    house("rm", "-f", "cc")

    def clean() -> bool:
        house.ok("ps", "-a")
        return house.leftovers() == []

    until(clean, house.leftovers)


@pytest.mark.parametrize("place", ["", "rootfs"])
def test_a_removal_waits_for_who_starts_or_changes_the_container(house: Household, place: str) -> None:
    """Proven: it removed what was just being started, whose process then ran on, known to nobody; and it said that it
    had removed what somebody else was just changing, which stayed.
    """
    identifier = house.ok("create", IMAGE, "sleep", "1000").strip()
    lock = os.open(house.root / "containers" / identifier / place, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        remover = house.begin("rm", "-f", identifier)
        inode = f":{os.fstat(lock).st_ino} "
        until(lambda: any("->" in line and inode in line for line in Path("/proc/locks").read_text().splitlines()))
        assert identifier[:12] in house.ok("ps", "-a")
    finally:
        os.close(lock)
    assert remover.wait(30) == 0
    remover.communicate()
    assert identifier[:12] not in house.ok("ps", "-a")
    assert house.leftovers(identifier) == []


def test_a_process_that_nobody_knows_is_ended(house: Household) -> None:
    """Of a container that is removed while it is started by somebody who can't be waited for. Proven: it ran on."""
    identifier = house.ok("run", "-d", IMAGE, "sleep", "1000").strip()
    pid = json.loads(house.ok("inspect", identifier))[0]["State"]["Pid"]
    for monitor in house.monitors():
        os.kill(monitor, signal.SIGKILL)
    shutil.rmtree(house.root / "containers" / identifier)
    shutil.rmtree(house.run_directory / "monitors" / identifier)
    house.ok("ps")
    until(lambda: not os.path.exists(f"/proc/{pid}"))
    shutil.rmtree(house.root / "snapshots" / "keys" / identifier)
    assert house.leftovers(identifier) == []

"""Restart policies: kept by the container's own monitor, whoever of us is killed meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, Household, until
from tests.integration.test_monitor_faults import holders, kill_forkserver, workers
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox")]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Household]:
    household = Household(tmp_path)
    household.load(tmp_path)
    yield household
    household.end()
    assert household.leftovers() == []
    assert household._family() == []


def inspect(house: Household, name: str = "cc") -> dict[str, object]:
    found: dict[str, object] = json.loads(house.ok("inspect", name))[0]
    return found


def state(house: Household, name: str = "cc") -> str:
    return house.ok("inspect", "-f", "{{.State.Status}}", name).strip()


def count(house: Household, name: str = "cc") -> int:
    return int(house.ok("inspect", "-f", "{{.RestartCount}}", name))


def keeper(house: Household) -> int:
    """The guard of the one container, which holds its lock."""
    (guard,) = holders(house)
    return guard


FAILS = ("sh", "-c", "echo began; exit 3")


def failing(house: Household, *names: str, times: int = 3) -> None:
    """Containers that fail, and have done so some times: the pause to come is twice as long as the last."""
    for name in names:
        house.ok("run", "-d", "--name", name, "--restart", "always", IMAGE, *FAILS)
    for name in names:
        until(lambda name=name: count(house, name) >= times, seconds=20)  # type: ignore[misc]
        until(lambda name=name: state(house, name) == "restarting")  # type: ignore[misc]


def test_on_failure_gives_up_after_so_many(house: Household) -> None:
    house.ok("run", "-d", "--name", "cc", "--restart", "on-failure:2", IMAGE, *FAILS)
    until(lambda: state(house) == "exited")
    assert house.ok("logs", "cc") == "began\n" * 3
    found = inspect(house)
    assert found["RestartCount"] == 2
    assert found["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}  # type: ignore[index]
    house.ok("start", "cc")
    assert inspect(house)["RestartCount"] in (0, 1)
    until(lambda: house.ok("logs", "cc") == "began\n" * 6)


def test_a_good_end_is_no_failure(house: Household) -> None:
    house.ok("run", "-d", "--name", "cc", "--restart", "on-failure", IMAGE, "true")
    assert house.ok("wait", "cc") == "0\n"
    assert (state(house), count(house)) == ("exited", 0)


def test_a_pause_is_shown_and_keeps_to_the_budget(house: Household) -> None:
    """Between two runs there is the guard alone, and it is small."""
    failing(house, "cc", times=4)
    assert house.ok("ps", "--format", "{{.Status}}").startswith("Restarting (3) ")
    told = inspect(house)["State"]
    assert (told["Running"], told["Restarting"], told["Pid"], told["ExitCode"]) == (True, True, 0, 3)  # type: ignore[index]
    guard = keeper(house)
    assert workers(house, guard) == []
    lines = Path(f"/proc/{guard}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    assert 0 < sizes["Private_Clean"] + sizes["Private_Dirty"] <= 512
    assert b"wait until it is running" in house("attach", "cc").stderr


def test_an_end_in_the_pause(house: Household) -> None:
    verbs = ("stop", "kill", "rm", "restart")
    failing(house, *verbs, times=4)
    assert len(holders(house)) == 4
    assert house("rm", "rm").returncode == 1
    house.ok("rm", "-f", "rm")
    for verb in ("stop", "kill", "restart"):
        house.ok(verb, verb)
    assert [state(house, verb) for verb in ("stop", "kill")] == ["exited", "exited"]
    assert house.ok("ps", "-a", "--filter", "name=stop", "--format", "{{.Status}}").startswith("Exited (3) ")
    until(lambda: len(holders(house)) == 1)
    assert count(house, "restart") < 4


def test_stopped_by_hand_stays_down_and_starts_again(house: Household) -> None:
    house.ok("run", "-d", "--name", "cc", "--restart", "unless-stopped", "--init", IMAGE, "sleep", "1000")
    house.ok("kill", "-s", "HUP", "cc")  # a signal that is not the one to stop it: it ends, and begins again
    until(lambda: count(house) == 1 and state(house) == "running")
    house.ok("stop", "cc")
    assert (state(house), count(house)) == ("exited", 1)
    house.ok("restart", "cc")
    assert (state(house), count(house)) == ("running", 0)


def test_restart_does_not_remove(house: Household) -> None:
    house.ok("run", "-d", "--rm", "--name", "cc", IMAGE, "sleep", "1000")
    pid = inspect(house)["State"]["Pid"]  # type: ignore[index]
    house.ok("restart", "-t", "0", "cc")
    assert inspect(house)["State"]["Pid"] not in (0, pid)  # type: ignore[index]
    house.ok("stop", "-t", "0", "cc")
    until(lambda: house.leftovers() == [])


def test_a_client_sees_the_first_end(house: Household) -> None:
    done = house("run", "--name", "cc", "--restart", "always", IMAGE, *FAILS)
    assert (done.returncode, done.stdout) == (3, b"began\n")
    assert house.ok("wait", "cc") == "3\n"


def test_workers_are_killed_while_it_restarts(house: Household) -> None:
    """At some moment between the timer and the next run: somebody else tries again, and nothing is there twice."""
    failing(house, "cc", times=1)
    guard = keeper(house)
    for delay in (0.0, 0.05, 0.1):
        before = count(house)
        until(lambda: bool(workers(house, guard)))
        time.sleep(delay)
        for pid in workers(house, guard):
            os.kill(pid, signal.SIGKILL)
        until(lambda: count(house) > before, seconds=20)  # noqa: B023
    kill_forkserver(house)
    before = count(house)
    until(lambda: count(house) > before)
    house.ok("stop", "-t", "0", "cc")
    assert state(house) == "exited"
    until(lambda: not os.path.exists(f"/proc/{guard}"))


def test_the_guard_is_killed_in_the_pause(house: Household) -> None:
    """Who comes by next starts it, whatever they wanted, and the count goes on."""
    house.ok("create", "--name", "never", "--restart", "always", IMAGE, *FAILS)
    failing(house, "cc", times=4)  # each pause from here on takes 1.6 seconds or more
    for look in (("ps",), ("inspect", "cc"), ("start", "cc"), ("recover",)):
        until(lambda: state(house) == "restarting")
        before, guard = count(house), keeper(house)
        os.kill(guard, signal.SIGKILL)
        until(lambda: not os.path.exists(f"/proc/{guard}"))  # noqa: B023
        assert holders(house) == []
        house.ok(*look)
        until(lambda: len(holders(house)) == 1)
        assert count(house) > before
    assert state(house, "never") == "created"


def test_the_guard_is_killed_with_its_container(house: Household) -> None:
    """And with everybody else who would have seen the end."""
    house.ok("run", "-d", "--name", "cc", "--restart", "on-failure:1", IMAGE, "sleep", "1000")
    for state_then, restarts in (("running", 1), ("exited", 1)):
        pid, guard = inspect(house)["State"]["Pid"], keeper(house)  # type: ignore[index]
        for each in (guard, *workers(house, guard), pid):
            os.kill(each, signal.SIGKILL)
        until(lambda: not os.path.exists(f"/proc/{pid}") and holders(house) == [])  # noqa: B023
        house.ok("ps")
        assert (state(house), count(house)) == (state_then, restarts)


def test_after_a_reboot(house: Household) -> None:
    for name, policy in (("aa", "always"), ("uu", "unless-stopped"), ("ss", "unless-stopped"), ("nn", "no")):
        house.ok("run", "-d", "--name", name, "--restart", policy, IMAGE, "sleep", "1000")
    house.ok("recover")
    house.ok("stop", "-t", "0", "aa", "ss")
    pids = [inspect(house, name)["State"]["Pid"] for name in ("uu", "nn")]  # type: ignore[index]
    for pid in (*house._family(), *pids):
        with contextlib.suppress(ProcessLookupError):  # some end together with the one before
            os.kill(pid, signal.SIGKILL)
    until(lambda: house._family() == [])
    (house.run_directory / "boot").write_text("another")
    (house.run_directory / "recovered").write_text("another")
    assert inspect(house, "uu")["State"]["Error"] == "the host went down while it was running"  # type: ignore[index]
    assert sorted(house.ok("recover").split()) == ["aa", "uu"]
    assert sorted(house.ok("ps", "--format", "{{.Names}}").split()) == ["aa", "uu"]
    house.ok("stop", "-t", "0", "aa")
    assert house.ok("recover") == ""
    house.ok("start", "nn")  # its cgroups are there still, unlike after a real reboot: it takes them with it

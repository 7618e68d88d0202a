"""A quiet monitor is its guard alone; whoever is killed then, what the container says and how it ends is known."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, Household, until
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox")]

_WAITING = "trap 'echo late; exit 7' TERM; echo ready; while :; do sleep 0.02; done"
_BUDGET = 512


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Household]:
    household = Household(tmp_path)
    household.load(tmp_path)
    yield household
    household.end()


def run(house: Household, quiet: bool = True) -> int:
    """Start a container that waits for SIGTERM; the pid of its guard, alone if ``quiet``."""
    house.ok("run", "-d", "--name", "cc", IMAGE, "sh", "-c", _WAITING)
    until(lambda: house.ok("logs", "cc") == "ready\n")
    (guard,) = holders(house)
    if quiet:
        until(lambda: not workers(house, guard))
    return guard


def guards(house: Household) -> list[int]:
    return [pid for pid in house._family() if comm(pid) == "utsuwa-guard"]


def holders(house: Household) -> list[int]:
    """Guards that hold a container's lock."""
    return [pid for pid in guards(house) if any(path.endswith("/lock") for path in open_files(pid))]


def workers(house: Household, guard: int) -> list[int]:
    """Workers that hold what the guard holds."""
    lock = next((path for path in open_files(guard) if path.endswith("/lock")), "")
    return [pid for pid in house._family() if pid != guard and lock in open_files(pid)]


def open_files(pid: int) -> list[str]:
    try:
        return [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return []


def comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def check_end(house: Household) -> None:
    """The container says its last word and ends, and both are known."""
    house.ok("kill", "-s", "TERM", "cc")
    assert house.ok("wait", "cc") == "7\n"
    assert house.ok("logs", "cc") == "ready\nlate\n"
    house.ok("rm", "cc")
    assert house.leftovers() == []


def kill_forkserver(house: Household) -> None:
    leader = house.forkserver()
    spare = [pid for pid in house.monitors() if pid not in holders(house)]
    os.kill(leader, signal.SIGKILL)
    until(lambda: not set(house._family()) & {leader, *spare})


def test_a_quiet_monitor_keeps_to_its_budget(house: Household) -> None:
    guard = run(house)
    told = Path(f"/proc/{guard}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in told}
    assert 0 < sizes["Private_Clean"] + sizes["Private_Dirty"] <= _BUDGET
    check_end(house)


def test_a_worker_comes_from_the_forkserver(house: Household) -> None:
    run(house)
    leader = house.forkserver()
    check_end(house)
    assert house.forkserver() == leader


def test_without_a_forkserver_the_guard_starts_a_worker(house: Household) -> None:
    run(house)
    kill_forkserver(house)
    check_end(house)


def test_a_client_attaches_without_a_forkserver(house: Household) -> None:
    guard = run(house)
    kill_forkserver(house)
    client = house.begin("attach", "cc")
    until(lambda: bool(workers(house, guard)))
    check_end(house)
    out, _ = client.communicate(timeout=20)
    assert (client.returncode, out) == (7, b"late\n")


@pytest.mark.parametrize("forkserver", [True, False])
def test_a_worker_is_killed(house: Household, forkserver: bool) -> None:
    guard = run(house, quiet=False)
    for pid in workers(house, guard):
        os.kill(pid, signal.SIGKILL)
    if not forkserver:
        kill_forkserver(house)
    check_end(house)


def test_a_later_worker_is_killed_at_its_work(house: Household) -> None:
    """Again and again, while the container ends: the guard remembers how it ended."""
    guard = run(house)
    house.ok("kill", "-s", "TERM", "cc")
    killed = 0
    for _ in range(3):
        until(lambda: bool(workers(house, guard)) or not os.path.exists(f"/proc/{guard}"))
        for pid in workers(house, guard):
            try:
                os.kill(pid, signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                pass
    assert house.ok("wait", "cc") == "7\n"
    assert house.ok("logs", "cc").startswith("ready\n")


def test_a_forkserver_that_does_not_answer(house: Household) -> None:
    """Somebody listens, and takes no request: the guard waits a while, and then starts a worker itself."""
    run(house)
    kill_forkserver(house)
    (path,) = house.run_directory.glob("forks-*.sock")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as deaf:
        directory = os.open(house.run_directory, os.O_PATH)
        deaf.bind(f"/proc/self/fd/{directory}/{path.name}")
        os.close(directory)
        deaf.listen(8)
        check_end(house)


def test_a_container_without_a_word_ends_while_nobody_watches(house: Household) -> None:
    identifier = house.ok("run", "-d", "--name", "cc", IMAGE, "sleep", "1000").strip()
    until(lambda: bool(holders(house)))
    (guard,) = holders(house)
    until(lambda: not workers(house, guard))
    house.ok("kill", "cc")
    assert house.ok("wait", "cc") == "137\n"
    house.ok("rm", "cc")
    assert house.leftovers(identifier) == []

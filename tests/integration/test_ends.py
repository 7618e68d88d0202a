"""Ends of containers: several at once, waited for in several ways, and for want of memory."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.integration.household import IMAGE, Household, until
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox")]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    directory = tmp_path_factory.mktemp("ends")
    household = Household(directory)
    household.load(directory)
    yield household
    household.end()
    assert household.leftovers() == []


@pytest.fixture(autouse=True)
def nothing_stays(house: Household) -> Iterator[None]:
    yield
    for identifier in house.ok("ps", "-aq", "--no-trunc").split():
        house.ok("rm", "-f", identifier)


@pytest.mark.parametrize("verb", ["stop", "restart"])
def test_several_at_once(house: Household, verb: str) -> None:
    """Nobody waits for another who doesn't listen to SIGTERM; who is not there is told of in his place."""
    names = ["c1", "c2", "c3", "c4"]
    for name in names:
        house.ok("run", "-d", "--name", name, IMAGE, "sh", "-c", "trap : TERM; while :; do sleep 0.1; done")
    since = time.time()
    done = house(verb, "-t", "1", "c1", "c2", "nobody", "c3", "c4")
    times = ("--since", f"{since:.9f}", "--until", f"{time.time():.9f}")
    told = house.ok("events", *times, "-f", "event=kill", "--format", "{{.Actor.Attributes.signal}}")
    assert told.split() == ["15"] * 4 + ["9"] * 4
    assert (done.returncode, done.stdout.decode().split()) == (1, names)
    assert done.stderr == b"utsuwa: No such container: nobody\n"


def test_waiting_for_several(house: Household) -> None:
    for code in ("3", "4"):
        house.ok("run", "-d", "--name", f"c{code}", IMAGE, "sh", "-c", f"read l; exit {code}")
    assert house.ok("wait", "c4", "c3") == "4\n3\n"


def test_the_next_end_and_the_removal(house: Household) -> None:
    house.ok("run", "--name", "cc", IMAGE, "true")
    assert house.ok("wait", "cc") == "0\n"
    waiters = [house.begin("wait", "--condition", condition, "cc") for condition in ("next-exit", "removed")]
    deadline = time.monotonic() + 10
    while waiters[0].poll() is None:  # it may not have begun to wait when the first of these ends
        assert time.monotonic() < deadline
        house.ok("start", "cc")
        house.ok("wait", "cc")
    assert waiters[0].communicate()[0] == b"0\n"
    assert waiters[1].poll() is None
    house.ok("rm", "cc")
    out, _ = waiters[1].communicate(timeout=10)
    assert out == b"0\n"
    assert b"invalid condition" in house("wait", "--condition", "tired", "cc").stderr


def test_waiting_for_one_that_is_removed_at_its_end(house: Household) -> None:
    house.ok("run", "-d", "-i", "--rm", "--name", "cc", IMAGE, "sh", "-c", "read l; exit 5")
    waiter = house.begin("wait", "cc")
    house("attach", "cc", stdin=b"go\n")
    assert waiter.communicate(timeout=10)[0] in (b"5\n", b"")
    until(lambda: house.leftovers() == [])


def test_out_of_memory_is_told(house: Household) -> None:
    since = time.time()
    hog = "a=xxxxxxxxxxxxxxxx; while :; do a=$a$a; done"
    done = house("run", "--name", "cc", "-m", "16m", "--memory-swap", "16m", IMAGE, "sh", "-c", hog)
    assert done.returncode == 137
    state = json.loads(house.ok("inspect", "cc"))[0]["State"]
    assert (state["OOMKilled"], state["ExitCode"]) == (True, 137)
    span = ("--since", str(since), "--until", str(time.time()), "--format", "{{.Action}}")
    assert house.ok("events", *span).split()[-2:] == ["oom", "die"]

"""A creator that has begun, and whose monitor thinks better of it, or is killed: it undoes what it has made."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, Household, until
from tests.needs import needs
from utsuwa.engine.containers import Containers
from utsuwa.engine.images import Images
from utsuwa.engine.paths import Paths
from utsuwa.monitor import frames
from utsuwa.monitor.creator import Creator, Failed
from utsuwa.spec.codec import dumps

pytestmark = [needs("root", "overlay", "busybox")]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Household]:
    household = Household(tmp_path)
    household.load(tmp_path)
    yield household
    household.end()


@pytest.fixture(params=[False, True], ids=["prepared", "in a hurry"])
def begun(house: Household, request: pytest.FixtureRequest) -> Iterator[tuple[Creator, int]]:
    """One that has made the container's cgroups, and waits for its standard streams; and its pid."""
    identifier = house.ok("create", "--network", "none", IMAGE, "true").strip()
    paths = Paths(str(house.root), str(house.run_directory))
    containers = Containers(paths, Images(paths))
    wanted = containers._request(containers.find(identifier), True, (0, 0))
    before = children()
    creator = Creator((), request.param, paths.run)
    (pid,) = children() - before
    creator.announce(frames.START, dumps(wanted).encode())
    assert not (house.run_directory / "runtime" / identifier).exists()
    creator.begin()
    kept = house.run_directory / "runtime" / identifier / "config.json"  # written when the cgroups are there
    until(kept.exists)
    yield creator, pid
    creator.dismiss()
    os.waitpid(pid, 0)


def children() -> set[int]:
    return {int(word) for word in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def traces(house: Household) -> list[str]:
    """What the runtime and the kernel have of the container."""
    (identifier,) = house.ok("ps", "-aq", "--no-trunc").split()
    places = (f"{house.run_directory}/runtime/", "/sys/fs/cgroup/")
    return [each for each in house.leftovers(identifier) if each.startswith(places)]


def test_it_is_given_up(house: Household, begun: tuple[Creator, int]) -> None:
    assert traces(house) != []
    begun[0].give_up()
    assert traces(house) == []


def test_its_monitor_is_killed(house: Household, begun: tuple[Creator, int]) -> None:
    begun[0].dismiss()
    until(lambda: traces(house) == [])


def test_it_is_killed_itself(house: Household, begun: tuple[Creator, int]) -> None:
    """What it leaves is on record: the next start, or a removal, takes it away."""
    creator, pid = begun
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(Failed, match="was killed"):
        creator.outcome()
    (identifier,) = house.ok("ps", "-aq", "--no-trunc").split()
    house.ok("start", "-a", identifier)
    until(lambda: traces(house) == [])

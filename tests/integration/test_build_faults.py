"""SIGKILL for a build and for the process that keeps its container, wherever they are: nothing stays, the next one
works.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, Household, until
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox")]


@pytest.fixture(autouse=True)
def no_cgroups_stay() -> Iterator[None]:
    before = set(cgroups())
    yield
    until(lambda: set(cgroups()) <= before, lambda: set(cgroups()) - before)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Household]:
    household = Household(tmp_path)
    household.load(tmp_path)
    yield household
    household.end()


@pytest.fixture
def context(tmp_path: Path) -> Path:
    made = tmp_path / "context"
    made.mkdir()
    for number in range(100):
        (made / f"f{number}").write_text(f"{number}\n" * 1000)
    return made


@pytest.fixture
def running(house: Household, context: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A build whose RUN says that it is there, and stays."""
    build = waiting(house, context)
    yield build
    finish(build)


def waiting(house: Household, context: Path) -> subprocess.Popen[bytes]:
    lines = ["RUN echo kept >/x", "RUN --mount=type=cache,target=/c echo rea''dy; sleep 1000"]
    (context / "Dockerfile").write_text("\n".join([f"FROM {IMAGE}", *lines]))
    running = house.begin("build", str(context))
    assert running.stderr is not None
    for line in running.stderr:
        if line.rstrip().endswith(b" ready"):
            return running
    raise AssertionError("the build ended")


def keepers(build: int) -> list[int]:
    """The children of a process."""
    text = Path(f"/proc/{build}/task/{build}/children").read_text()
    return [int(pid) for pid in text.split()]


def left(house: Household) -> list[str]:
    """What a build leaves that it should not."""
    found = house.leftovers()
    for folder in ("build/work", "snapshots/unpacking", "content/ingest"):
        path = house.root / folder
        found += [str(each) for each in path.iterdir()] if path.exists() else []
    return found


def cgroups() -> list[str]:
    return [str(path) for top in ("*/utsuwa", "utsuwa") for path in Path("/sys/fs/cgroup").glob(f"{top}/build-*")]


def finish(running: subprocess.Popen[bytes]) -> None:
    if running.returncode is None:
        running.kill()
        running.communicate(timeout=20)


def test_the_build_is_killed(house: Household, context: Path, running: subprocess.Popen[bytes]) -> None:
    finish(running)
    until(lambda: left(house) == [], lambda: left(house))
    (context / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN echo kept >/x\n")
    assert b"CACHED" in house("build", str(context)).stderr


def test_the_keeper_is_killed(house: Household, context: Path, running: subprocess.Popen[bytes]) -> None:
    (keeper,) = keepers(running.pid)
    os.kill(keeper, signal.SIGKILL)
    _, err = running.communicate(timeout=20)
    assert running.returncode == 1
    assert b"the process that keeps the container died" in err
    assert left(house) == []


def test_both_are_killed(house: Household, context: Path, running: subprocess.Popen[bytes]) -> None:
    (keeper,) = keepers(running.pid)
    os.kill(running.pid, signal.SIGSTOP)
    os.kill(keeper, signal.SIGKILL)
    finish(running)
    assert left(house) != []
    house.ok("builder", "prune", "-f")
    assert left(house) == []


def test_an_interrupt(house: Household, context: Path, running: subprocess.Popen[bytes]) -> None:
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=20)
    assert running.returncode == 130
    assert left(house) == []


@pytest.mark.parametrize("milliseconds", [60, 120, 180, 240, 350])
def test_killed_at_any_moment(house: Household, context: Path, milliseconds: int) -> None:
    text = f"FROM {IMAGE}\nCOPY . /all\nRUN rm -r /all\nRUN echo 1 >/1\nWORKDIR /made\nCOPY f1 .\n"
    (context / "Dockerfile").write_text(text)
    running = house.begin("build", "-t", "survivor", str(context))
    try:
        running.wait(milliseconds / 1000)
    except subprocess.TimeoutExpired:
        finish(running)
    running.communicate()
    house.ok("build", "-t", "survivor", str(context))
    assert house.ok("run", "--rm", "survivor", "cat", "/1", "f1").startswith("1\n1\n")
    until(lambda: left(house) == [], lambda: left(house))

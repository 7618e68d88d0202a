"""Healthchecks: made by the container's own monitor, whoever of us is killed meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.household import IMAGE, Household, until
from tests.integration.test_monitor_faults import comm, holders, kill_forkserver, workers
from tests.needs import needs
from tools.oci_image import busybox_layer, write_layout

pytestmark = [needs("root", "overlay", "busybox")]

OFTEN = ("--health-interval", "50ms", "--health-retries", "2")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    directory = tmp_path_factory.mktemp("health")
    household = Household(directory)
    household.load(directory)
    yield household
    household.end()
    assert household.leftovers() == []
    assert household._family() == []


@pytest.fixture(autouse=True)
def nothing_stays(house: Household) -> Iterator[None]:
    yield
    for identifier in house.ok("ps", "-aq", "--no-trunc").split():
        house.ok("rm", "-f", identifier)


def run(house: Household, *words: str, image: str = IMAGE) -> None:
    house.ok("run", "-d", "--name", "cc", *words, image, "sleep", "1000")


def health(house: Household) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(house.ok("inspect", "cc"))[0]["State"]["Health"]
    return found


def status(house: Household) -> str:
    return house.ok("ps", "-a", "--format", "{{.Status}}").strip()


def test_from_starting_to_healthy_to_unhealthy(house: Household) -> None:
    since = time.time()
    run(
        house,
        "--health-cmd",
        "echo said; test -e /tmp/well",
        *OFTEN,
        "--health-start-period",
        "1h",
        "--health-start-interval",
        "50ms",
    )
    assert status(house).endswith("(health: starting)")
    until(lambda: len(health(house)["Log"]) >= 3)
    found = health(house)
    assert (found["Status"], found["FailingStreak"]) == ("starting", 0)  # failures of the start don't count
    assert (found["Log"][0]["ExitCode"], found["Log"][0]["Output"]) == (1, "said\n")
    house.ok("exec", "cc", "mkdir", "-p", "/tmp/well")
    until(lambda: status(house).endswith("(healthy)"))
    house.ok("exec", "cc", "rm", "-r", "/tmp/well")
    until(lambda: status(house).endswith("(unhealthy)"))
    found = health(house)
    assert found["FailingStreak"] >= 2 and len(found["Log"]) <= 5
    house.ok("kill", "cc")
    assert health(house)["Status"] == "unhealthy" and "health" not in status(house)
    lines = house.ok(
        "events",
        "--since",
        str(since),
        "--until",
        str(time.time()),
        "-f",
        "event=health_status",
        "--format",
        "{{.Action}}",
    )
    assert lines.splitlines() == ["health_status: healthy", "health_status: unhealthy"]


def test_a_check_that_takes_too_long(house: Household) -> None:
    run(house, "--health-cmd", "echo begun; exec sleep 77", "--health-timeout", "100ms", *OFTEN)
    until(lambda: status(house).endswith("(unhealthy)"))
    result = health(house)["Log"][0]
    assert (result["ExitCode"], result["Output"]) == (-1, "Health check exceeded timeout (100ms)")
    until(lambda: house.ok("exec", "cc", "ps").count("sleep 77") <= 1)


def test_the_image_says_what_to_check(house: Household, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    check = {"Test": ["CMD", "false"], "Interval": 50_000_000, "Retries": 1}
    write_layout(
        archive, [busybox_layer()], "utsuwa/checked:latest", {"Cmd": ["sh"], "Env": ["PATH=/bin"], "Healthcheck": check}
    )
    house.ok("load", "-i", str(archive))
    run(house, image="utsuwa/checked")
    until(lambda: status(house).endswith("(unhealthy)"))
    house.ok("rm", "-f", "cc")
    run(house, "--health-cmd", "true", image="utsuwa/checked")
    until(lambda: status(house).endswith("(healthy)"))
    assert json.loads(house.ok("inspect", "cc"))[0]["Config"]["Healthcheck"]["Interval"] == 50_000_000
    house.ok("rm", "-f", "cc")
    run(house, "--no-healthcheck", image="utsuwa/checked")
    assert json.loads(house.ok("inspect", "cc"))[0]["State"].get("Health") is None


def test_between_checks_there_is_the_guard_alone(house: Household) -> None:
    run(house, "--health-cmd", "true", "--health-interval", "2500ms")
    until(lambda: bool(holders(house)))
    (guard,) = holders(house)
    until(lambda: not workers(house, guard))
    assert health(house)["Log"] == []
    lines = Path(f"/proc/{guard}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    assert 0 < sizes["Private_Clean"] + sizes["Private_Dirty"] <= 512
    until(lambda: status(house).endswith("(healthy)"))


def checks(house: Household) -> int:
    return house.ok("exec", "cc", "ps").count("sleep 88")


def test_whoever_checks_is_killed(house: Household) -> None:
    """Worker and forkserver, in the middle of a check: the check goes with them, and another is made."""
    run(house, "--health-cmd", "test -e /tmp || exec sleep 88; sleep 0.1", *OFTEN)
    house.ok("exec", "cc", "rm", "-r", "/tmp")
    until(lambda: checks(house) == 1)
    (guard,) = holders(house)
    for pid in workers(house, guard):
        os.kill(pid, signal.SIGKILL)
    kill_forkserver(house)
    until(lambda: checks(house) == 0)
    house.ok("exec", "cc", "mkdir", "/tmp")
    before = len(health(house)["Log"])
    assert before < 5


def test_the_keeper_of_a_check_is_killed(house: Household) -> None:
    run(house, "--health-cmd", "sleep 0.05", *OFTEN)
    until(lambda: status(house).endswith("(healthy)"))
    (guard,) = holders(house)
    ours = {guard, *workers(house, guard), house.forkserver()}
    for pid in house._family():
        if pid not in ours and comm(pid) in ("utsuwa-monitor", "utsuwa-guard"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    last = health(house)["Log"][-1]
    until(lambda: health(house)["Log"][-1] != last)
    assert health(house)["Status"] == "healthy"


def test_a_paused_container_is_left_alone(house: Household) -> None:
    run(house, "--health-cmd", "true", *OFTEN)
    until(lambda: status(house).endswith("(healthy)"))
    house.ok("pause", "cc")
    assert status(house).endswith("(Paused)")
    until(lambda: len(health(house)["Log"]) > 0)
    house.ok("unpause", "cc")
    assert health(house)["FailingStreak"] == 0
    house.ok("stop", "-t", "0", "cc")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--no-healthcheck", "--health-cmd", "true"], "--no-healthcheck conflicts with --health-* options"),
        (["--health-cmd", "true", "--health-interval", "1us"], "Interval in Healthcheck cannot be less than 1ms"),
        (["--health-cmd", "true", "--health-interval", "soon"], "invalid duration"),
        (["--health-cmd", "true", "--health-retries", "-1"], "Retries in Healthcheck cannot be negative"),
    ],
)
def test_mistakes(house: Household, words: list[str], text: str) -> None:
    done = house("run", *words, IMAGE)
    assert done.returncode == 125 and text in done.stderr.decode()

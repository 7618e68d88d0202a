"""Log drivers of real containers, and followers of them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

import pytest

from tests.integration.household import IMAGE, Household, until
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox")]

TALKS = ("sh", "-c", "echo one; echo two >&2; printf three")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    directory = tmp_path_factory.mktemp("logs")
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


def options(*texts: str) -> list[str]:
    return [word for text in texts for word in ("--log-opt", text)]


@pytest.mark.parametrize("driver", ["json-file", "local"])
def test_what_was_printed_comes_back(house: Household, driver: str) -> None:
    house("run", "--name", "cc", "--log-driver", driver, IMAGE, *TALKS)
    done = house("logs", "cc")
    assert (done.stdout, done.stderr) == (b"one\nthree", b"two\n")
    assert house("logs", "-n", "1", "cc").stdout == b"three"
    stamp, _, text = house.ok("logs", "-t", "-n", "1", "cc").partition(" ")
    assert text == "three" and len(stamp) == 30 and stamp.endswith("Z")
    house.ok("start", "cc")
    assert house.ok("wait", "cc") == "0\n"
    assert house("logs", "cc").stdout == b"one\nthreeone\nthree"


def test_local_is_put_aside_and_compressed(house: Household) -> None:
    words = ("--log-driver", "local", "--log-opt", "max-size=50k", "--log-opt", "max-file=3")
    command = "i=0; while [ $i -lt 20000 ]; do echo line number $i; i=$((i+1)); done"
    identifier = house.ok("run", "-d", "--name", "cc", *words, IMAGE, "sh", "-c", command).strip()
    house.ok("wait", "cc")
    directory = house.root / "containers" / identifier
    names = ["container.log", "container.log.1.gz", "container.log.2.gz"]
    until(lambda: sorted(path.name for path in directory.glob("container.log*")) == names)
    lines = house.ok("logs", "cc").splitlines()
    assert lines[-1] == "line number 19999"
    assert lines == [f"line number {number}" for number in range(20000 - len(lines), 20000)]
    assert house.ok("logs", "-n", "3000", "cc").splitlines() == lines[-3000:]


@pytest.mark.parametrize("driver", ["json-file", "local"])
def test_a_follower_sees_everything_until_the_end(house: Household, driver: str) -> None:
    words = ("--log-driver", driver, *options("max-size=20k", "max-file=50", "compress=false"))
    command = "read l; i=0; while [ $i -lt 5000 ]; do echo number $i; i=$((i+1)); done"
    house.ok("run", "-d", "-i", "--name", "cc", *words, IMAGE, "sh", "-c", command)
    follower = house.begin("logs", "-f", "cc")
    house("attach", "cc", stdin=b"go\n")
    out, _ = follower.communicate(timeout=30)
    assert out.decode().splitlines() == [f"number {number}" for number in range(5000)]


def test_a_follower_ends_when_it_is_time(house: Household) -> None:
    house.ok("run", "-d", "--name", "cc", IMAGE, "sh", "-c", "echo one; sleep 1000")
    until(lambda: house.ok("logs", "cc") == "one\n")
    assert house.ok("logs", "-f", "--until", f"{time.time() + 0.2:.3f}", "cc") == "one\n"
    assert house.ok("logs", "--since", f"{time.time():.3f}", "cc") == ""
    house.ok("kill", "cc")


def test_details_and_the_driver_in_inspect(house: Household) -> None:
    words = ("--label", "stage=test", "-e", "A=1", *options("labels=stage", "env=A", "tag={{.Name}}"))
    house.ok("run", "--name", "cc", *words, IMAGE, "echo", "hi")
    assert house.ok("logs", "--details", "cc") == "A=1,stage=test,tag=cc hi\n"
    found = json.loads(house.ok("inspect", "cc"))[0]
    assert found["HostConfig"]["LogConfig"] == {
        "Type": "json-file",
        "Config": {"labels": "stage", "env": "A", "tag": "{{.Name}}"},
    }
    with open(found["LogPath"]) as file:
        assert json.loads(file.read())["attrs"] == {"stage": "test", "A": "1", "tag": "cc"}


def test_what_there_is_not(house: Household) -> None:
    house.ok("run", "--name", "cc", "--log-driver", "none", IMAGE, "true")
    assert b"configured logging driver does not support reading" in house("logs", "cc").stderr
    assert b"unsupported: log-driver syslog" in house("run", "--log-driver", "syslog", IMAGE).stderr
    if not os.path.exists("/run/systemd/journal/socket"):
        done = house("run", "--log-driver", "journald", IMAGE)
        assert done.returncode == 125 and b"journald is not enabled on this host" in done.stderr

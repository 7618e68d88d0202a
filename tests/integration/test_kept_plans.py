"""The plan that one start leaves for the next: used where nothing has changed, and never where something has."""

from __future__ import annotations

import json
import marshal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, Household, until
from tests.needs import needs

pytestmark = needs("root", "busybox")
_SHOW = "echo $GREETING; test -e /mark && echo marked; touch /mark"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Household]:
    """An engine with a container called ``one`` that prints its GREETING."""
    made = Household(tmp_path)
    made.load(tmp_path)
    made.ok("create", "--name", "one", "-e", "GREETING=first", IMAGE, "sh", "-c", _SHOW)
    yield made
    made.end()


def _start(house: Household) -> str:
    return house.ok("start", "-a", "one")


def _plan(house: Household) -> Path:
    found = list(house.run_directory.glob("monitors/*/plan"))
    until(lambda: bool(found) or bool(list(house.run_directory.glob("monitors/*/plan"))))
    return next(house.run_directory.glob("monitors/*/plan"))


def _config(house: Household) -> Path:
    return next(house.root.glob("containers/*/config.json"))


def test_the_second_start_goes_by_what_was_kept(house):
    assert _start(house) == "first\n"
    plan = _plan(house)
    key, document, cgroup, resources, (wire, *rest) = marshal.loads(plan.read_bytes())
    assert b"GREETING=first" in wire
    wire = wire.replace(b"GREETING=first", b"GREETING=again")
    plan.write_bytes(marshal.dumps((key, document, cgroup, resources, (wire, *rest))))
    assert _start(house) == "again\nmarked\n"


def test_another_configuration_is_another_plan(house):
    _start(house)
    _plan(house)
    path = _config(house)
    config = json.loads(path.read_text())
    config["process"]["env"] = [entry.replace("first", "second") for entry in config["process"]["env"]]
    path.write_text(json.dumps(config))
    assert _start(house) == "second\nmarked\n"


@pytest.mark.parametrize("damage", [b"", b"\0", b"{}", b"cut"])
def test_a_damaged_one_is_made_anew(house, damage):
    _start(house)
    plan = _plan(house)
    plan.write_bytes(plan.read_bytes()[:-100] if damage == b"cut" else damage)
    assert _start(house) == "first\nmarked\n"


def test_one_of_another_forkserver_is_made_anew(house):
    _start(house)
    plan = _plan(house)
    key, document, cgroup, resources, (wire, *rest) = marshal.loads(plan.read_bytes())
    wire = wire.replace(b"GREETING=first", b"GREETING=wrong")
    plan.write_bytes(marshal.dumps((bytes(16) + key[16:], document, cgroup, resources, (wire, *rest))))
    assert _start(house) == "first\nmarked\n"


def test_a_failure_has_the_same_words_by_a_kept_plan(house):
    house.ok("create", "--name", "two", IMAGE, "/bin/none")
    first, second = (house("start", "-a", "two") for _ in range(2))
    assert b"/bin/none" in first.stderr
    assert (first.returncode, first.stderr) == (second.returncode, second.stderr)
    # one that has run, and then loses its program
    house.ok("create", "--name", "three", IMAGE, "/bin/busybox", "rm", "/bin/busybox")
    house.ok("start", "-a", "three")
    until(lambda: len(list(house.run_directory.glob("monitors/*/plan"))) == 1)
    third = house("start", "-a", "three")
    assert third.returncode == 1
    assert b"/bin/busybox" in third.stderr


def test_nothing_of_it_stays_with_a_removed_container(house):
    _start(house)
    plan = _plan(house)
    house.ok("rm", "one")
    assert not plan.parent.exists()

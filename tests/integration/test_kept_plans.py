"""The plan that starts leave for the next of their shape: used where nothing has changed, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, Household, until
from tests.needs import needs

pytestmark = needs("root", "busybox")
_SHOW = "echo $GREETING from $(hostname); test -e /mark && echo marked; touch /mark"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Household]:
    """An engine with containers of one shape called ``one``, ``two`` and ``three``."""
    made = Household(tmp_path)
    made.load(tmp_path)
    for name in ("one", "two", "three"):
        _create(made, name, "sh", "-c", _SHOW)
    yield made
    made.end()


def _create(house: Household, name: str, *command: str) -> None:
    house.ok("create", "--name", name, "--hostname", "somewhere", "-e", "GREETING=hello", IMAGE, *command)


def _start(house: Household, name: str) -> str:
    return house.ok("start", "-a", name)


def _entry(house: Household, starts: tuple[str, ...]) -> Path:
    """What is kept after these starts."""
    for count, name in enumerate(starts, 1):
        _start(house, name)
        until(lambda count=count: [_size(path) > 32 for path in _entries(house)] == [count > 1])
    (path,) = _entries(house)
    return path


def _entries(house: Household) -> list[Path]:
    return [path for path in house.run_directory.glob("runtime/.drafts/*") if "." not in path.name]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _change(path: Path, old: bytes, new: bytes) -> None:
    body = path.read_bytes()[32:]
    assert old in body
    body = body.replace(old, new)
    path.write_bytes(blake2b(path.name.encode() + body, digest_size=32).digest() + body)


def _by_heart(house: Household, name: str) -> bool:
    """Start it; not by heart where no executor stood ready yet, or the cgroups of the last run were still there."""
    said = _start(house, name).removesuffix("marked\n")
    assert said in ("hello from elsewhere\n", "hello from somewhere\n")
    return "elsewhere" in said


@pytest.mark.parametrize("starts", [("one", "one"), ("one", "two")], ids=["one", "two"])
def test_the_third_start_goes_by_what_is_kept_whichever_container_it_is(house, starts):
    _change(_entry(house, starts), b"somewhere", b"elsewhere")
    for name in ("one", "three"):
        until(lambda name=name: _by_heart(house, name))


def test_another_configuration_is_another_plan(house):
    _change(_entry(house, ("one", "one")), b"somewhere", b"elsewhere")
    identifier = house.ok("inspect", "--format", "{{.Id}}", "one").strip()
    path = house.root / "containers" / identifier / "config.json"
    config = json.loads(path.read_text())
    config["process"]["env"] = [entry.replace("hello", "there") for entry in config["process"]["env"]]
    path.write_text(json.dumps(config))
    assert _start(house, "one") == "there from somewhere\nmarked\n"


@pytest.mark.parametrize("damage", [b"", b"\0" * 64, b"cut"])
def test_a_damaged_one_is_made_anew(house, damage):
    path = _entry(house, ("one", "one"))
    path.write_bytes(path.read_bytes()[:-100] if damage == b"cut" else damage)
    assert _start(house, "one") == "hello from somewhere\nmarked\n"


def test_a_failure_has_the_same_words_by_a_kept_plan(house):
    for name in ("un", "deux", "trois"):
        _create(house, name, "/bin/busybox", "rm", "/bin/busybox")
    _entry(house, ("un", "deux"))
    _start(house, "trois")
    known, again = house("start", "-a", "trois"), house("start", "-a", "un")
    assert known.returncode == 1
    assert b"/bin/busybox" in known.stderr
    assert (known.returncode, known.stderr) == (again.returncode, again.stderr)


def test_what_stays_of_removed_containers_has_no_secrets(house):
    path = _entry(house, ("one", "two"))
    house.ok("rm", "one", "two", "three")
    kept = path.read_bytes()
    assert b"somewhere" in kept
    for secret in (b"hello", b"GREETING", b"from $(hostname)"):
        assert secret not in kept
    for directory in (path.parent, path):
        assert directory.stat().st_mode & 0o077 == 0

"""`urun update` and `urun events`: their options, without a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from utsuwa.cli import oci_durations, oci_update
from utsuwa.errors import InvalidArgument, NotFound
from utsuwa.spec.runtime import CPU, Memory, Pids, Resources


def test_only_what_is_given_is_set() -> None:
    found, warnings = oci_update.resources({"memory": "1.5g", "cpu-burst": "0", "pids-limit": "-1", "cpuset-cpus": ""})
    assert found == Resources(memory=Memory(limit=3 << 29), cpu=CPU(burst=0), pids=Pids(limit=-1))
    assert warnings == []


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("-1", -1), ("10", 10), ("10b", 10), ("2k", 2048), ("2KB", 2048), ("2KiB", 2048), ("3M", 3 << 20)],
)
def test_sizes(text: str, size: int) -> None:
    assert oci_update.resources({"memory-swap": text})[0] == Resources(memory=Memory(swap=size))


@pytest.mark.parametrize("text", ["x", "-2", "1..5m", "5X", "1mm", ".", "9" * 30, "\u0661"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InvalidArgument, match="--memory"):
        oci_update.resources({"memory": text})


@pytest.mark.parametrize(("option", "text"), [("cpu-period", "-1"), ("cpu-share", "1e3"), ("pids-limit", "all")])
def test_what_is_no_number(option: str, text: str) -> None:
    with pytest.raises(InvalidArgument, match=option):
        oci_update.resources({option: text})


def test_limits_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "limits.json"
    file.write_text('{"pids": {"limit": 5}}')
    assert oci_update.resources({"resources": str(file), "memory": "1m"})[0] == Resources(pids=Pids(limit=5))
    file.write_text('{"pids": {"limit": "five"}}')
    with pytest.raises(InvalidArgument, match=r"limits\.json.*pids\.limit"):
        oci_update.resources({"resources": str(file)})
    with pytest.raises(NotFound):
        oci_update.resources({"resources": str(tmp_path / "none")})


def test_what_has_no_effect_is_said() -> None:
    found, warnings = oci_update.resources({"kernel-memory": "5m"})
    assert found == Resources()
    assert len(warnings) == 1 and "--kernel-memory" in warnings[0]


def test_shares_of_caches_and_bandwidth() -> None:
    assert oci_update.schemata({}) == ()
    given = {"mem-bw-schema": "MB:0=20", "l3-cache-schema": "L3:0=f"}
    assert oci_update.schemata(given) == ("L3:0=f", "MB:0=20")
    with pytest.raises(InvalidArgument, match="memBwSchema"):
        oci_update.schemata({"mem-bw-schema": "20"})


@pytest.mark.parametrize(
    ("text", "value"), [("5s", 5), ("100ms", 0.1), ("1m30s", 90), ("1.5h", 5400), ("250us", 0.00025), ("1h1ns", 3600)]
)
def test_durations(text: str, value: float) -> None:
    assert oci_durations.seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "5", "s", "0s", "-1s", "1.2.3s", "5 s", "5y", "s5"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InvalidArgument, match="duration"):
        oci_durations.seconds(text)


def test_an_idle_cgroup_has_no_weight(tmp_path: Path) -> None:
    """runc's update.bats: idle wins, and the other is told to be left out."""
    found, warnings = oci_update.resources({"cpu-share": "200", "cpu-idle": "1"})
    assert (found.cpu, len(warnings)) == (CPU(idle=1), 1) and "unable to apply both" in warnings[0]
    file = tmp_path / "resources.json"
    file.write_text('{"unified": {"cpu.idle": "1", "cpu.weight": "8", "pids.max": "9"}}')
    found, warnings = oci_update.resources({"resources": str(file)})
    assert (found.unified, len(warnings)) == ({"cpu.idle": "1", "pids.max": "9"}, 1)
    assert "unable to apply both" in warnings[0]
    assert oci_update.resources({"cpu-share": "200", "cpu-idle": "0"})[1] == []

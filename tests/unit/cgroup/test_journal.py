"""An update that fails half way leaves the files as they were."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tests.unit.cgroup.trees import fill, written
from utsuwa import errors
from utsuwa.cgroup import resources_v1, resources_v2
from utsuwa.cgroup.directory import Directory
from utsuwa.cgroup.journal import Journal
from utsuwa.spec.codec import decode
from utsuwa.spec.runtime import Resources


def given(**sections: object) -> Resources:
    return decode(Resources, sections)


def test_v2_goes_back_to_where_it_was(tmp_path: Path) -> None:
    before = {
        "cgroup.controllers": "cpu memory pids",
        "cpu.max": "5000 20000",
        "cpu.weight": "100",
        "memory.max": "max",
        "memory.swap.max": "0",
    }
    fill(tmp_path, before)
    wanted = given(cpu={"quota": 1000, "shares": 2}, memory={"limit": 5, "swap": -1}, pids={"limit": 4})
    with pytest.raises(errors.NotFound, match=r"pids\.max"), Journal() as journal:
        resources_v2.apply(str(tmp_path), wanted, journal)
    assert written(tmp_path) == before


def test_what_went_well_stays(tmp_path: Path) -> None:
    fill(tmp_path, {"cgroup.controllers": "pids", "pids.max": "max"})
    with Journal() as journal:
        resources_v2.apply(str(tmp_path), given(pids={"limit": 4}), journal)
    assert written(tmp_path)["pids.max"] == "4"


def test_v1_goes_back_in_every_hierarchy(tmp_path: Path) -> None:
    memory = {"memory.usage_in_bytes": "1", "memory.limit_in_bytes": "900", "memory.memsw.limit_in_bytes": "950"}
    memory["memory.oom_control"] = "oom_kill_disable 0\nunder_oom 0\noom_kill 0"
    fill(tmp_path / "memory", memory)
    fill(tmp_path / "cpu", {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"})
    places = {name: str(tmp_path / name) for name in ("memory", "cpu", "pids")}
    fill(tmp_path / "pids", {})
    wanted = given(memory={"limit": 100, "swap": 200, "disableOOMKiller": True}, cpu={"quota": 5000}, pids={"limit": 1})
    with pytest.raises(errors.NotFound), Journal() as journal:
        resources_v1.apply(places, wanted, journal)
    assert written(tmp_path / "memory") == {**memory, "memory.oom_control": "0"}, "0 makes the kernel say what it said"
    assert written(tmp_path / "cpu") == {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}


@pytest.mark.parametrize(
    ("key", "text", "values", "restored"),
    [
        ("io.max", "8:0 rbps=1 wbps=max riops=max wiops=max\n9:0 rbps=2", ["8:0 rbps=9", "8:0 wbps=9"], []),
        ("io.max", "", ["8:0 rbps=9"], ["8:0 rbps=max wbps=max riops=max wiops=max"]),
        ("io.weight", "default 100\n8:0 5", ["default 200", "8:16 7"], ["8:16 default", "default 100"]),
        ("blkio.throttle.read_bps_device", "8:0 5", ["8:0 7", "8:16 1"], ["8:16 0", "8:0 5"]),
        ("net_prio.ifpriomap", "lo 0\neth0 3", ["eth0 9"], ["eth0 3"]),
        ("rdma.max", "mlx4_0 hca_handle=max hca_object=5", ["mlx4_0 hca_handle=1"], []),
        ("cpu.max", "max 100000", ["5000 100000"], ["max 100000"]),
        ("cpuset.cpus", "", ["0-1"], [""]),
    ],
)
def test_files_with_a_line_for_each_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, text: str, values: list[str], restored: list[str]
) -> None:
    fill(tmp_path, {key: text})
    with pytest.raises(ZeroDivisionError), Journal() as journal:
        with Directory(str(tmp_path), journal) as cgroup:
            for value in values:
                journal.note(cgroup, key, value)
        seen: list[str] = []
        monkeypatch.setattr(Directory, "attempt", lambda self, _key, value: seen.append(value))
        raise ZeroDivisionError
    assert seen == (restored or [text.splitlines()[0]])


def test_what_is_refused_at_first_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, {"limit": "5", "both": "9"})
    written_: list[str] = []

    def attempt(self: Directory, key: str, value: str) -> OSError | None:
        if key == "both" and not written_:
            return OSError(errno.EINVAL, "no")
        written_.append(f"{key} {value}")
        return None

    with pytest.raises(ZeroDivisionError), Journal() as journal, Directory(str(tmp_path), journal) as cgroup:
        journal.note(cgroup, "limit", "1")
        journal.note(cgroup, "both", "2")
        monkeypatch.setattr(Directory, "attempt", attempt)
        raise ZeroDivisionError
    assert written_ == ["limit 5", "both 9"]


def test_a_cgroup_that_is_gone_is_not_missed(tmp_path: Path) -> None:
    gone = fill(tmp_path / "gone", {"pids.max": "1"})
    with pytest.raises(ZeroDivisionError), Journal() as journal:
        with Directory(str(gone), journal) as cgroup:
            cgroup.write("pids.max", 5)
        (gone / "pids.max").unlink()
        gone.rmdir()
        raise ZeroDivisionError

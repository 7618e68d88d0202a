"""Values and files for linux.resources, on trees of plain files."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cgroup.trees import fill, written
from utsuwa import errors
from utsuwa.cgroup import resources, resources_v1, resources_v2
from utsuwa.cgroup.directory import Directory
from utsuwa.spec.codec import decode
from utsuwa.spec.runtime import Memory, Resources
from utsuwa.spec.seldom import Rdma

GIB = 1 << 30


def given(**sections: object) -> Resources:
    return decode(Resources, sections)


@pytest.mark.parametrize(
    ("shares", "weight"),
    [
        (0, 0),
        (1, 1),
        (2, 1),
        (100, 17),
        (1024, 100),
        (3333, 256),
        (4444, 323),
        (50000, 2402),
        (262144, 10000),
        (10**9, 10000),
    ],
)
def test_cpu_weight(shares: int, weight: int) -> None:
    assert resources.cpu_weight(shares) == weight


def test_cpu_weight_never_falls() -> None:
    weights = [resources.cpu_weight(shares) for shares in range(2, 262145, 61)]
    assert weights == sorted(weights)


@pytest.mark.parametrize(("weight", "expected"), [(0, 0), (10, 1), (750, 7475), (1000, 10000)])
def test_io_weight(weight: int, expected: int) -> None:
    assert resources.io_weight(weight) == expected


@pytest.mark.parametrize(
    ("limit", "swap", "expected"),
    [
        (None, None, None),
        (GIB, None, None),
        (-1, None, "max"),
        (GIB, -1, "max"),
        (GIB, GIB, "0"),
        (GIB, 3 * GIB, str(2 * GIB)),
    ],
)
def test_swap_of_v2_does_not_include_memory(limit: int | None, swap: int | None, expected: str | None) -> None:
    assert resources.swap_max(Memory(limit=limit, swap=swap)) == expected


@pytest.mark.parametrize(
    ("limit", "swap", "message"),
    [(None, GIB, "without memory limit"), (-1, GIB, "not -1"), (2 * GIB, GIB, "should be >= memory limit")],
)
def test_contradicting_swap_is_refused(limit: int | None, swap: int, message: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=message):
        resources.swap_max(Memory(limit=limit, swap=swap))


@pytest.mark.parametrize("size", ["../../x", "2MB/..", "MB", "02MB", "2mb", "2 MB", "", "²MB", "2M"])
def test_a_page_size_is_not_a_path(size: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="invalid hugepage size"):
        resources.page_size(size)


def test_settle_tries_again_what_the_kernel_refuses_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accepted: list[str] = []

    def attempt(self: Directory, key: str, value: str) -> OSError | None:
        if key == "period" and "quota" not in accepted:
            return OSError(errno.EINVAL, "Invalid argument")
        accepted.append(key)
        return None

    monkeypatch.setattr(Directory, "attempt", attempt)
    with Directory(str(tmp_path)) as cgroup:
        resources.settle(cgroup, [("period", "1"), ("quota", "2")])
    assert accepted == ["quota", "period"]


def test_settle_gives_up_when_nothing_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Directory, "attempt", lambda *_: OSError(errno.EINVAL, "Invalid argument"))
    with Directory(str(tmp_path)) as cgroup, pytest.raises(errors.InvalidArgument, match=r'write "1" to .*/period'):
        resources.settle(cgroup, [("period", "1"), ("quota", "2")])


@pytest.mark.parametrize(
    ("current", "limit", "swap", "order"),
    [
        (str(1 << 62), GIB, 2 * GIB, ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]),
        (str(GIB), 2 * GIB, 4 * GIB, ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes"]),
        (str(GIB), GIB // 2, GIB, ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]),
        (str(GIB), GIB // 2, -1, ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes"]),
        (str(GIB), -1, None, ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes"]),
    ],
)
def test_v1_memory_never_exceeds_memory_and_swap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, current: str, limit: int, swap: int | None, order: list[str]
) -> None:
    fill(tmp_path, {"memory.limit_in_bytes": current, "memory.memsw.limit_in_bytes": ""})
    seen: list[str] = []
    monkeypatch.setattr(Directory, "attempt", lambda self, key, value: seen.append(key))
    resources_v1.apply({"memory": str(tmp_path)}, Resources(memory=Memory(limit=limit, swap=swap)))
    assert seen == order


def test_v1_writes_what_is_set(tmp_path: Path) -> None:
    files = {
        "memory": ("memory.limit_in_bytes", "memory.soft_limit_in_bytes", "memory.oom_control", "memory.swappiness"),
        "cpu": (
            "cpu.shares",
            "cpu.cfs_period_us",
            "cpu.cfs_quota_us",
            "cpu.cfs_burst_us",
            "cpu.rt_period_us",
            "cpu.idle",
        ),
        "cpuset": ("cpuset.cpus", "cpuset.mems"),
        "pids": ("pids.max",),
        "blkio": ("blkio.bfq.weight", "blkio.bfq.weight_device", "blkio.throttle.write_bps_device"),
        "hugetlb": ("hugetlb.2MB.limit_in_bytes",),
        "net_cls": ("net_cls.classid",),
        "net_prio": ("net_prio.ifpriomap",),
    }
    directories = {name: str(fill(tmp_path / name, dict.fromkeys(keys, ""))) for name, keys in files.items()}
    wanted = given(
        memory={"limit": 5, "reservation": 4, "disableOOMKiller": True, "swappiness": 0},
        cpu={
            "shares": 7,
            "period": 8,
            "quota": -1,
            "burst": 0,
            "realtimePeriod": 9,
            "cpus": "0",
            "mems": "0",
            "idle": 0,
        },
        pids={"limit": 0},
        blockIO={
            "weight": 20,
            "weightDevice": [{"major": 8, "minor": 0, "weight": 30}],
            "throttleWriteBpsDevice": [{"major": 8, "minor": 1, "rate": 600}],
        },
        hugepageLimits=[{"pageSize": "2MB", "limit": 2097152}],
        network={"classID": 17, "priorities": [{"name": "lo", "priority": 3}]},
    )
    resources_v1.apply(directories, wanted)
    found = {key: value for name in files for key, value in written(tmp_path / name).items()}
    assert found == {
        "memory.limit_in_bytes": "5",
        "memory.soft_limit_in_bytes": "4",
        "memory.oom_control": "1",
        "memory.swappiness": "0",
        "cpu.shares": "7",
        "cpu.cfs_period_us": "8",
        "cpu.cfs_quota_us": "-1",
        "cpu.cfs_burst_us": "0",
        "cpu.rt_period_us": "9",
        "cpu.idle": "0",
        "cpuset.cpus": "0",
        "cpuset.mems": "0",
        "pids.max": "1",  # 0 counts as 1
        "blkio.bfq.weight": "20",
        "blkio.bfq.weight_device": "8:0 30",
        "blkio.throttle.write_bps_device": "8:1 600",
        "hugetlb.2MB.limit_in_bytes": "2097152",
        "net_cls.classid": "17",
        "net_prio.ifpriomap": "lo 3",
    }


V2_FILES = (
    *("memory.max", "memory.low", "memory.swap.max", "cpu.weight", "cpu.max.burst", "cpu.idle", "cpuset.cpus"),
    *("cpuset.mems", "pids.max", "io.weight", "io.max", "hugetlb.2MB.max"),
)


def test_v2_writes_what_is_set_and_unified_last(tmp_path: Path) -> None:
    controllers = "cpu cpuset io memory pids hugetlb"
    fill(tmp_path, {**dict.fromkeys(V2_FILES, ""), "cgroup.controllers": controllers, "cpu.max": "max 100000"})
    wanted = given(
        memory={"limit": GIB, "reservation": 4, "swap": 2 * GIB, "swappiness": 3},
        cpu={"shares": 1024, "quota": 5000, "burst": 10, "cpus": "0", "mems": "0"},
        pids={"limit": -1},
        blockIO={"weight": 750, "throttleReadIOPSDevice": [{"major": 8, "minor": 1, "rate": 600}]},
        hugepageLimits=[{"pageSize": "2MB", "limit": 0}],
        unified={"memory.low": "77", "io.max": "8:0 rbps=1\n8:0 rbps=2"},
    )
    resources_v2.apply(str(tmp_path), wanted)
    found = written(tmp_path)
    assert found["cpu.max"] == "5000 100000"
    assert {name: found[name] for name in V2_FILES if found[name]} == {
        "memory.max": str(GIB),
        "memory.low": "77",
        "memory.swap.max": str(GIB),
        "cpu.weight": "100",
        "cpu.max.burst": "10",
        "cpuset.cpus": "0",
        "cpuset.mems": "0",
        "pids.max": "max",
        "io.weight": "default 7475",
        "io.max": "8:0 rbps=2",
        "hugetlb.2MB.max": "0",
    }


@pytest.mark.parametrize(
    ("before", "cpu", "after"),
    [
        ("max 100000", {"quota": 5000}, "5000 100000"),
        ("5000 20000", {"period": 10000}, "5000 10000"),
        ("5000 20000", {"quota": -1}, "max 20000"),
    ],
)
def test_v2_keeps_the_other_half_of_cpu_max(tmp_path: Path, before: str, cpu: dict, after: str) -> None:
    fill(tmp_path, {"cgroup.controllers": "cpu", "cpu.max": before})
    resources_v2.apply(str(tmp_path), given(cpu=cpu))
    assert (tmp_path / "cpu.max").read_text() == after


def test_v2_idle_has_no_weight(tmp_path: Path) -> None:
    fill(tmp_path, {"cgroup.controllers": "cpu", "cpu.idle": "", "cpu.weight": ""})
    resources_v2.apply(str(tmp_path), given(cpu={"idle": 1, "shares": 1024}))
    assert written(tmp_path) == {"cgroup.controllers": "cpu", "cpu.idle": "1", "cpu.weight": ""}


@pytest.mark.parametrize("key", ["../memory.max", "/etc/passwd", "..", "a/b", ""])
def test_unified_keys_are_file_names(tmp_path: Path, key: str) -> None:
    fill(tmp_path, {"cgroup.controllers": "cpu"})
    with pytest.raises(errors.InvalidArgument, match="a file name was expected"):
        resources_v2.apply(str(tmp_path), given(unified={key: "1"}))


def test_links_are_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    group = fill(tmp_path / "group", {"cgroup.controllers": "pids"})
    (group / "pids.max").symlink_to(victim)
    with pytest.raises(errors.Error, match=r"pids\.max"):
        resources_v2.apply(str(group), given(pids={"limit": 3}))
    assert victim.read_text() == "untouched"


@pytest.mark.parametrize(
    ("sections", "named"),
    [
        ({"memory": {"limit": 5}}, r"linux\.resources\.memory\.limit: the memory controller"),
        ({"cpu": {"cpus": "0"}}, r"linux\.resources\.cpu\.cpus: the cpuset controller"),
        ({"pids": {"limit": 0}}, r"linux\.resources\.pids\.limit: the pids controller"),
        ({"blockIO": {"weight": 10}}, r"linux\.resources\.blockIO\.weight: the (blk)?io controller"),
        (
            {"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]},
            r"linux\.resources\.hugepageLimits: the hugetlb controller",
        ),
    ],
)
def test_a_limit_without_its_controller_is_refused_by_name(tmp_path: Path, sections: dict, named: str) -> None:
    fill(tmp_path, {"cgroup.controllers": ""})
    with pytest.raises(errors.FailedPrecondition, match=named):
        resources_v2.apply(str(tmp_path), given(**sections))
    with pytest.raises(errors.FailedPrecondition, match=named):
        resources_v1.apply({}, given(**sections))


def test_what_is_not_set_needs_no_controller(tmp_path: Path) -> None:
    fill(tmp_path, {"cgroup.controllers": ""})
    nothing = given(memory={"limit": 0, "disableOOMKiller": False}, cpu={"shares": 0, "cpus": ""}, pids={}, blockIO={})
    resources_v2.apply(str(tmp_path), nothing)
    resources_v1.apply({}, nothing)
    assert written(tmp_path) == {"cgroup.controllers": ""}


def test_unified_is_for_v2() -> None:
    with pytest.raises(errors.InvalidArgument, match="invalid configuration: cannot use unified on cgroup v1"):
        resources_v1.apply({}, given(unified={"memory.max": "1"}))


def test_rdma_is_the_same_on_both_versions(tmp_path: Path) -> None:
    limits = given(rdma={"mlx5_0": {"hcaHandles": 3, "hcaObjects": 0}, "mlx4_1": {"hcaObjects": 7}})
    v2 = fill(tmp_path / "v2", {"cgroup.controllers": "rdma\n", "rdma.max": ""})
    v1 = fill(tmp_path / "v1", {"rdma.max": ""})
    resources_v2.apply(str(v2), limits)
    resources_v1.apply({"rdma": str(v1)}, limits)
    assert written(v2)["rdma.max"] == written(v1)["rdma.max"] == "mlx4_1 hca_object=7"
    with Directory(str(v1)) as cgroup:
        resources.write_rdma(cgroup, {"mlx5_0": Rdma(hcaHandles=3, hcaObjects=0)})
    assert written(v1)["rdma.max"] == "mlx5_0 hca_handle=3 hca_object=0"
    with pytest.raises(errors.FailedPrecondition, match=r"linux\.resources\.rdma: the rdma controller"):
        resources_v1.apply({}, limits)


def test_check_before_update_rejects_a_limit_below_usage(tmp_path: Path) -> None:
    fill(tmp_path, {"cgroup.controllers": "memory", "memory.current": "1000", "memory.swap.current": "100"})
    with pytest.raises(errors.FailedPrecondition, match="rejecting memory limit 500"):
        resources_v2.apply(str(tmp_path), given(memory={"limit": 500, "checkBeforeUpdate": True}))
    for limit in (500, 1050):
        with pytest.raises(errors.FailedPrecondition, match=r"rejecting memory\+swap limit 1050"):
            resources_v2.apply(str(tmp_path), given(memory={"limit": limit, "swap": 1050, "checkBeforeUpdate": True}))


@pytest.mark.parametrize("value", [True, False])
def test_a_hierarchy_is_what_memory_is_always_counted_in(tmp_path: Path, value: bool) -> None:
    fill(tmp_path, {"memory.use_hierarchy": "1", "memory.usage_in_bytes": "0"})
    resources_v1.apply({"memory": str(tmp_path)}, given(memory={"useHierarchy": value}))
    assert written(tmp_path)["memory.use_hierarchy"] == str(int(value)), "the kernel refuses 0 since Linux 5.11"


@pytest.mark.parametrize("limits", [{"cpu": {"shares": 1024}}, {"unified": {"cpu.weight": "100"}}])
def test_a_weight_ends_idleness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: dict[str, Any]) -> None:
    """The kernel refuses the weight of an idle cgroup (runc's update.bats sets one)."""
    fill(tmp_path, {"cgroup.controllers": "cpu", "cpu.idle": "1", "cpu.weight": "0"})
    attempt = Directory.attempt

    def as_the_kernel(self: Directory, key: str, value: str) -> OSError | None:
        if key == "cpu.weight" and self.read("cpu.idle") == "1":
            return OSError(errno.EINVAL, "invalid")
        return attempt(self, key, value)

    monkeypatch.setattr(Directory, "attempt", as_the_kernel)
    resources_v2.apply(str(tmp_path), given(**limits))
    assert (written(tmp_path)["cpu.idle"], written(tmp_path)["cpu.weight"]) == ("0", "100")

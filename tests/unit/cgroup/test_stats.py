"""The counters as `events --stats` tells them, from files as the kernel writes them."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from tests.unit.cgroup.trees import fill
from utsuwa import errors
from utsuwa.cgroup import directory, stats, stats_v1, stats_v2
from utsuwa.cgroup.directory import Directory

PRESSURE = "some avg10=1.50 avg60=0.00 avg300=0.25 total=42\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"


@pytest.mark.parametrize(("text", "expected"), [("0-2,5\n", [0, 1, 2, 5]), ("3", [3]), ("", []), (None, [])])
def test_lists_of_cpus(text: str | None, expected: list[int]) -> None:
    assert stats.numbers(text) == expected


def test_pressure(tmp_path: Path) -> None:
    fill(tmp_path, {"cpu.pressure": PRESSURE})
    with Directory(str(tmp_path)) as cgroup:
        assert stats.pressure(cgroup, "cpu.pressure") == {
            "some": {"avg10": 1.5, "avg60": 0.0, "avg300": 0.25, "total": 42},
            "full": {"avg10": 0.0, "avg60": 0.0, "avg300": 0.0, "total": 7},
        }
        assert stats.pressure(cgroup, "io.pressure") is None


def test_v1(tmp_path: Path) -> None:
    files = {
        "cpuacct": {
            "cpuacct.usage": "300\n",
            "cpuacct.usage_percpu": "100 200 \n",
            "cpuacct.usage_all": "cpu user system\n0 60 40\n1 150 50\n",
            "cpuacct.stat": "user 2\nsystem 1\n",
        },
        "cpu": {"cpu.stat": "nr_periods 5\nnr_throttled 2\nthrottled_time 900\n"},
        "memory": {
            "memory.stat": "cache 4096\nrss 10\n",
            "memory.usage_in_bytes": "5000\n",
            "memory.limit_in_bytes": "9223372036854771712\n",
            "memory.max_usage_in_bytes": "6000\n",
            "memory.failcnt": "3\n",
        },
        "pids": {"pids.current": "4\n", "pids.max": "max\n"},
        "blkio": {
            "blkio.bfq.io_serviced_recursive": "Total 0\n",
            "blkio.throttle.io_service_bytes_recursive": "8:0 Read 512\n8:0 Write 1024\n8:0 Total 1536\nTotal 1536\n",
        },
        "hugetlb": {
            "hugetlb.2MB.usage_in_bytes": "0\n",
            "hugetlb.2MB.rsvd.usage_in_bytes": "2097152\n",
            "hugetlb.2MB.rsvd.max_usage_in_bytes": "4194304\n",
            "hugetlb.2MB.rsvd.failcnt": "1\n",
        },
    }
    data = stats_v1.collect({name: str(fill(tmp_path / name, content)) for name, content in files.items()})
    assert data == {
        "cpu": {
            "usage": {
                "total": 300,
                "percpu": [100, 200],
                "percpu_kernel": [40, 50],
                "percpu_user": [60, 150],
                "kernel": 10_000_000,
                "user": 20_000_000,
            },
            "throttling": {"periods": 5, "throttledPeriods": 2, "throttledTime": 900},
        },
        "memory": {
            "cache": 4096,
            "raw": {"cache": 4096, "rss": 10},
            "usage": {"limit": 9223372036854771712, "usage": 5000, "max": 6000, "failcnt": 3},
        },
        "pids": {"current": 4, "limit": 0},
        "blkio": {
            "ioServiceBytesRecursive": [
                {"major": 8, "minor": 0, "op": "Read", "value": 512},
                {"major": 8, "minor": 0, "op": "Write", "value": 1024},
                {"major": 8, "minor": 0, "op": "Total", "value": 1536},
            ]
        },
        "hugetlb": {"2MB": {"usage": 2097152, "max": 4194304, "failcnt": 1}},
    }


def test_v2(tmp_path: Path) -> None:
    fill(
        tmp_path,
        {
            "cgroup.controllers": "cpuset cpu io memory hugetlb pids\n",
            "cpu.stat": "usage_usec 3\nuser_usec 2\nsystem_usec 1\nnr_periods 5\nnr_throttled 2\nthrottled_usec 9\n",
            "cpu.pressure": PRESSURE,
            "cpuset.cpus.effective": "0-1\n",
            "cpuset.mems.effective": "0\n",
            "memory.stat": "anon 1\nfile 4096\nkernel 77\n",
            "memory.current": "5000\n",
            "memory.max": "max\n",
            "memory.peak": "6000\n",
            "memory.events": "low 0\nmax 3\noom 0\n",
            "memory.swap.current": "100\n",
            "memory.swap.max": "1000\n",
            "io.stat": "8:0 rbytes=512 wbytes=1024 rios=1 wios=2 dbytes=0 dios=0\n",
            "hugetlb.2MB.current": "0\n",
            "hugetlb.2MB.rsvd.current": "2097152\n",
            "hugetlb.2MB.events": "max 1\n",
            "pids.current": "4\n",
            "pids.max": "10\n",
        },
    )
    data = stats_v2.collect(str(tmp_path))
    assert data["cpu"]["usage"] == {"total": 3000, "kernel": 1000, "user": 2000}
    assert data["cpu"]["throttling"] == {"periods": 5, "throttledPeriods": 2, "throttledTime": 9000}
    assert data["cpu"]["psi"]["some"]["total"] == 42
    assert data["cpuset"] == {"cpus": [0, 1], "mems": [0]}
    assert data["memory"] == {
        "cache": 4096,
        "usage": {"limit": stats.NO_LIMIT, "usage": 5000, "max": 6000, "failcnt": 3},
        "swap": {"limit": stats.NO_LIMIT, "usage": 5100, "failcnt": 0},
        "kernel": {"usage": 77},
        "raw": {"anon": 1, "file": 4096, "kernel": 77},
        "event_count": {"low": 0, "max": 3, "oom": 0},
    }
    assert data["blkio"] == {
        "ioServiceBytesRecursive": [
            {"major": 8, "minor": 0, "op": "Read", "value": 512},
            {"major": 8, "minor": 0, "op": "Write", "value": 1024},
        ],
        "ioServicedRecursive": [
            {"major": 8, "minor": 0, "op": "Read", "value": 1},
            {"major": 8, "minor": 0, "op": "Write", "value": 2},
        ],
    }
    assert data["hugetlb"] == {"2MB": {"usage": 2097152, "failcnt": 1}}
    assert data["pids"] == {"current": 4, "limit": 10}
    assert json.loads(json.dumps(data)) == data


def test_v2_without_controllers_still_counts_time(tmp_path: Path) -> None:
    fill(tmp_path, {"cgroup.controllers": "", "cpu.stat": "usage_usec 3\nuser_usec 2\nsystem_usec 1\n"})
    assert stats_v2.collect(str(tmp_path)) == {"cpu": {"usage": {"total": 3000, "kernel": 1000, "user": 2000}}}


def test_a_cgroup_that_goes_while_it_is_read_is_not_found(tmp_path: Path) -> None:
    with Directory(str(fill(tmp_path / "gone", {}))) as cgroup:
        (tmp_path / "gone").rmdir()
        for read in (cgroup.keys, lambda: cgroup.read("cgroup.controllers"), lambda: stats.page_sizes(cgroup, ".max")):
            with pytest.raises(errors.NotFound, match="gone"):
                read()
    gone = directory.failure(OSError(errno.ENODEV, "No such device"), "read x")
    assert isinstance(gone, errors.NotFound)

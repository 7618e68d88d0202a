"""The contract of when and where a container's processes run."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.contract.oci import Bundle, Runtime

_IOPRIO_GET = {"x86_64": 252, "aarch64": 31}[os.uname().machine]
PROCESSORS = sorted(os.sched_getaffinity(0))


@pytest.fixture(autouse=True)
def _of_version_1_2(oci: Runtime) -> None:
    if oci.name != "urun":
        pytest.skip(f"{oci.name} of Debian 12 is older than these properties")


def io_priority(pid: int) -> tuple[int, int]:
    """Class and priority of a process (ioprio_get(2))."""
    number = ctypes.CDLL(None).syscall(_IOPRIO_GET, 1, pid)
    return number >> 13, number & 0x1FFF


def executed(oci: Runtime, path: Path, **properties: object) -> int:
    """The pid of another process that sleeps in the container."""
    process = {"args": ["sleep", "1000"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}, **properties}
    path.write_text(json.dumps(process))
    words = [*oci.argv, "exec", "--detach", "--process", str(path), "--pid-file", f"{path}.pid", oci.id]
    nothing = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)  # a pipe would stay open as it lives
    subprocess.run(words, check=True, timeout=30, **nothing)
    return int(Path(f"{path}.pid").read_text())


def test_the_scheduler_is_the_containers_and_that_of_an_execed_process(
    oci: Runtime, bundle: Bundle, tmp_path: Path
) -> None:
    bundle.process["scheduler"] = {"policy": "SCHED_BATCH", "nice": 7}
    oci.running(bundle.sleep())
    pid = oci.state()["pid"]
    assert (os.sched_getscheduler(pid), os.getpriority(os.PRIO_PROCESS, pid)) == (os.SCHED_BATCH, 7)
    pid = executed(oci, tmp_path / "process.json", scheduler={"policy": "SCHED_IDLE"})
    assert os.sched_getscheduler(pid) == os.SCHED_IDLE


@pytest.mark.parametrize(
    ("scheduler", "said"),
    [
        ({"policy": "SCHED_ISO"}, "process.scheduler.policy"),
        ({"policy": "SCHED_OTHER", "nice": 20}, "process.scheduler.nice"),
        ({"policy": "SCHED_BATCH", "priority": 1}, "process.scheduler.priority"),
        ({"policy": "SCHED_FIFO", "priority": 1, "period": 5}, "process.scheduler.runtime"),
        ({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_NONE"]}, "process.scheduler.flags[0]"),
    ],
)
def test_what_no_scheduler_takes(oci: Runtime, bundle: Bundle, scheduler: dict[str, object], said: str) -> None:
    bundle.process["scheduler"] = scheduler
    assert said in oci.run(bundle).stderr
    assert not oci.exists()


def test_a_deadline_and_a_set_of_processors_exclude_each_other(oci: Runtime, bundle: Bundle) -> None:
    bundle.process["scheduler"] = {"policy": "SCHED_DEADLINE", "runtime": 42000, "deadline": 10**6, "period": 10**6}
    bundle.linux["resources"]["cpu"] = {"cpus": "0"}
    assert "can't be used together with AllowedCPUs" in oci.run(bundle).stderr


def test_the_priority_of_input_and_output(oci: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    bundle.process["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 6}
    oci.running(bundle.sleep())
    assert io_priority(oci.state()["pid"]) == (2, 6)
    pid = executed(oci, tmp_path / "process.json", ioPriority={"class": "IOPRIO_CLASS_IDLE"})
    assert io_priority(pid)[0] == 3


@pytest.mark.parametrize(
    ("priority", "said"),
    [
        ({"class": "IOPRIO_CLASS_NONE"}, "process.ioPriority.class"),
        ({"class": "IOPRIO_CLASS_BE", "priority": 8}, "process.ioPriority.priority"),
    ],
)
def test_what_is_no_priority(oci: Runtime, bundle: Bundle, priority: dict[str, object], said: str) -> None:
    bundle.process["ioPriority"] = priority
    assert said in oci.run(bundle).stderr


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="i686 is what x86_64 can pretend to be")
def test_the_execution_domain(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["personality"] = {"domain": "LINUX32"}
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["personality"], "action": "SCMP_ACT_ERRNO"}],
    }
    oci.running(bundle.sleep())
    assert oci.ok("exec", oci.id, "uname", "-m") == "i686\n"


def test_an_unknown_execution_domain_is_refused(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["personality"] = {"domain": "SOLARIS"}
    assert "linux.personality.domain" in oci.run(bundle).stderr


@pytest.mark.skipif(len(PROCESSORS) < 2, reason="needs two processors")
def test_a_container_is_not_bound_to_the_processors_of_its_runtime(oci: Runtime, bundle: Bundle) -> None:
    os.sched_setaffinity(0, PROCESSORS[:1])
    try:
        oci.running(bundle.sleep())
        affinity = oci.ok("exec", oci.id, "grep", "Cpus_allowed_list", "/proc/self/status").split()[1]
    finally:
        os.sched_setaffinity(0, PROCESSORS)
    with open("/proc/self/status") as status:
        assert f"Cpus_allowed_list:\t{affinity}\n" in list(status)
    assert sorted(os.sched_getaffinity(oci.state()["pid"])) == PROCESSORS


@pytest.mark.skipif(len(PROCESSORS) < 2, reason="needs two processors")
def test_execed_processes_run_where_they_are_told_to(oci: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    first, second = PROCESSORS[:2]
    bundle.process["execCPUAffinity"] = {"initial": str(first), "final": str(second)}
    oci.running(bundle.sleep())
    assert sorted(os.sched_getaffinity(oci.state()["pid"])) == PROCESSORS, "it is for others than the first process"
    assert oci.ok("exec", oci.id, "grep", "Cpus_allowed_list", "/proc/self/status").split()[1] == str(second)
    pid = executed(oci, tmp_path / "process.json", execCPUAffinity={"initial": str(first)})
    assert sorted(os.sched_getaffinity(pid)) == [first]
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps({"args": ["true"], "cwd": "/", "execCPUAffinity": {"initial": "3-1"}}))
    assert "list of processors" in oci.fails("exec", "--process", str(broken), oci.id, code=255)

"""The contract of the verbs that change and report what a container may use."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.contract.oci import Bundle, Runtime, cgroups_of, eventually
from tests.needs import cgroups, needs

pytestmark = cgroups

MIB = 1 << 20


def _file(oci: Runtime, name: str) -> str:
    """A control file of the container's cgroup, in whatever hierarchy it is."""
    (path,) = [Path(directory, name) for directory in cgroups_of(oci.id) if Path(directory, name).exists()]
    return path.read_text().strip()


def _needs_events(oci: Runtime) -> None:
    if oci.name == "crun":
        pytest.skip("crun has no events")


@needs("cgroup1")
def test_update_changes_what_is_given_and_nothing_else(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = {"memory": {"limit": 64 * MIB}, "pids": {"limit": 20}, "cpu": {"shares": 512}}
    oci.running(bundle.sleep())
    oci.ok("update", "--memory", "33554432", oci.id)
    assert [_file(oci, name) for name in ("memory.limit_in_bytes", "pids.max", "cpu.shares")] == [
        str(32 * MIB), "20", "512",
    ]  # fmt: skip
    oci.ok("update", "--pids-limit", "30", "--cpu-period", "50000", "--cpu-quota", "20000", oci.id)
    assert [_file(oci, name) for name in ("pids.max", "cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.shares")] == [
        "30", "50000", "20000", "512",
    ]  # fmt: skip
    oci.ok("update", "--pids-limit", "-1", oci.id)
    assert _file(oci, "pids.max") == "max"


@needs("cgroup1")
def test_update_reads_limits_from_standard_input(oci: Runtime, bundle: Bundle) -> None:
    oci.running(bundle.sleep())
    oci.ok("update", "--resources", "-", oci.id, input=json.dumps({"pids": {"limit": 7}, "cpu": {"shares": 300}}))
    assert (_file(oci, "pids.max"), _file(oci, "cpu.shares")) == ("7", "300")


@needs("cgroup1")
def test_update_leaves_a_paused_container_paused_and_its_devices_alone(oci: Runtime, bundle: Bundle) -> None:
    oci.running(bundle.sleep())
    before = _file(oci, "devices.list")
    oci.ok("pause", oci.id)
    oci.ok("update", "--pids-limit", "9", oci.id)
    assert (oci.status(), _file(oci, "pids.max"), _file(oci, "devices.list")) == ("paused", "9", before)
    oci.ok("resume", oci.id)


def test_update_refuses_what_makes_no_sense(oci: Runtime, bundle: Bundle) -> None:
    oci.running(bundle.sleep())
    oci.fails("update", "--memory", "much", oci.id)
    oci.fails("update", "--resources", "/does/not/exist", oci.id)
    assert oci.status() == "running"


def test_update_of_a_stopped_container_is_refused(oci: Runtime, bundle: Bundle) -> None:
    oci.running(bundle.sleep())
    oci.stop()
    oci.fails("update", "--pids-limit", "9", oci.id)


@needs("cgroup1")
def test_update_takes_sizes_as_people_write_them(oci: Runtime, bundle: Bundle) -> None:
    oci.running(bundle.sleep())
    for text, size in (("50M", 50 * MIB), ("48mb", 48 * MIB), ("0.5GiB", 512 * MIB), ("65536k", 64 * MIB)):
        oci.ok("update", oci.id, "--memory", text)
        assert _file(oci, "memory.limit_in_bytes") == str(size), text
    oci.fails("update", oci.id, "--memory", "5X")


@needs("cgroup1")
def test_no_processes_at_all_count_as_one(oci: Runtime, bundle: Bundle) -> None:
    oci.running(bundle.sleep())
    oci.ok("update", "--resources", "-", oci.id, input=json.dumps({"pids": {"limit": 0}}))
    assert _file(oci, "pids.max") == "1"


def test_stats_are_one_line_of_json(oci: Runtime, bundle: Bundle) -> None:
    _needs_events(oci)
    oci.running(bundle.sleep())
    (line,) = oci.ok("events", "--stats", oci.id).splitlines()
    event = json.loads(line)
    assert (event["type"], event["id"]) == ("stats", oci.id)
    assert event["data"]["cpu"]["usage"]["total"] > 0
    assert event["data"]["memory"]["usage"]["usage"] > 0
    assert event["data"]["pids"]["current"] >= 1


def test_there_are_no_stats_of_a_stopped_container(oci: Runtime, bundle: Bundle) -> None:
    _needs_events(oci)
    oci.running(bundle.sleep())
    oci.stop()
    oci.fails("events", "--stats", oci.id)


def test_events_come_until_the_container_ends(oci: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    _needs_events(oci)
    oci.running(bundle.sleep())
    log = tmp_path / "events"
    with open(log, "w") as output:
        words = [*oci.argv, "events", "--interval", "50ms", oci.id]
        watcher = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output)
    try:
        eventually(lambda: log.read_text().count("\n") >= 2, "two events")
        oci.ok("delete", "--force", oci.id)
        assert watcher.wait(timeout=20) == 0
    finally:
        watcher.kill()
        watcher.wait()
    assert {json.loads(line)["type"] for line in log.read_text().splitlines()} == {"stats"}


@needs("cgroup1")
def test_running_out_of_memory_is_an_event(oci: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    _needs_events(oci)
    bundle.linux["resources"]["memory"] = {"limit": 16 * MIB, "swap": 16 * MIB}
    oci.running(bundle.sleep())
    log = tmp_path / "events"
    with open(log, "w") as output:
        words = [*oci.argv, "events", "--interval", "50ms", oci.id]
        watcher = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output)
    try:
        eventually(lambda: "stats" in log.read_text(), "the watcher")
        oci("exec", oci.id, "sh", "-c", "x=$(seq 1 9999999)")
        eventually(lambda: f'{{"type":"oom","id":"{oci.id}"}}' in log.read_text(), "the event")
    finally:
        watcher.kill()
        watcher.wait()


def test_a_host_without_systemd_has_no_systemd_cgroups(oci: Runtime, bundle: Bundle) -> None:
    if Path("/run/systemd/system").exists():
        pytest.skip("this host has systemd")
    bundle.linux["cgroupsPath"] = f"machine.slice:utsuwa:{oci.id}"
    told = oci.fails("--systemd-cgroup", "create", "--bundle", str(bundle.write()), oci.id)
    assert "systemd" in told or "sd-bus" in told
    assert not oci.exists()


@pytest.mark.parametrize("limit", [512 * 1024, 768 * 1024])
def test_less_than_a_megabyte_is_enough_to_start(oci: Runtime, bundle: Bundle, limit: int) -> None:
    if oci.name == "runc":
        pytest.skip("runc needs megabytes")
    bundle.linux["resources"]["memory"] = {"limit": limit}
    done = oci.run(bundle.shell("echo started"))
    assert (done.returncode, done.stdout) == (0, "started\n"), done.stderr


@needs("cgroup2", "setpriv")
def test_a_user_with_a_cgroup_of_its_own_has_limits(oci: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    if oci.name != "urun":
        pytest.skip("a test of ours: crun and runc want a systemd")
    ours = Path("/sys/fs/cgroup", f"{oci.id}-user")
    (ours / "session").mkdir(parents=True)
    enabled = Path("/sys/fs/cgroup/cgroup.subtree_control")
    enabled.write_text("+memory +pids")
    for path in (ours, ours / "cgroup.procs", ours / "cgroup.subtree_control", ours / "session/cgroup.procs"):
        os.chown(path, 1000, 1000)
    bundle.as_user(tmp_path, 1000)
    bundle.linux["resources"] = {"memory": {"limit": 32 * MIB}, "pids": {"limit": 20}}
    enter = (
        f"echo 0 >{ours}/session/cgroup.procs; exec {shutil.which('setpriv')} --reuid=1000 --regid=1000 --clear-groups"
    )
    oci.argv[:0] = ["sh", "-c", f'{enter} "$@"', "-"]
    try:
        oci.running(bundle.sleep())
        found = [(ours / oci.id / name).read_text().strip() for name in ("memory.max", "pids.max")]
        assert found == [str(32 * MIB), "20"]
        oci.ok("update", "--pids-limit", "30", oci.id)
        assert (ours / oci.id / "pids.max").read_text().strip() == "30"
        assert oci.ok("exec", oci.id, "cat", "/proc/self/cgroup").strip() == "0::/"
    finally:
        oci.clean()
        (ours / "session").rmdir()
        ours.rmdir()


@needs("cgroup2")
@pytest.mark.parametrize("oci", ["urun"], indirect=True)
@pytest.mark.parametrize("writable", [True, False])
def test_a_cgroup_that_can_be_written_is_the_container_s(oci: Runtime, bundle: Bundle, writable: bool) -> None:
    """config-linux.md, "Cgroup ownership"; runc does so under systemd (cgroup_delegation.bats)."""
    bundle.linux["namespaces"] += [{"type": "user"}, {"type": "cgroup"}]
    mapping = [{"containerID": 0, "hostID": 100000, "size": 1000}]
    bundle.linux["uidMappings"] = bundle.linux["gidMappings"] = mapping
    (bundle.rootfs / "sys/fs/cgroup").mkdir(parents=True, exist_ok=True)
    options = ["nosuid", "noexec", "nodev", "relatime"] + ([] if writable else ["ro"])
    mount = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options}
    bundle.config["mounts"].append(mount)
    for parent in (bundle.path, *bundle.path.parents):
        if str(parent).startswith("/tmp/pytest-of"):
            parent.chmod(0o755)
    oci.running(bundle.sleep())
    (path,) = cgroups_of(oci.id)
    assert os.stat(path).st_uid == (100000 if writable else 0)
    assert os.stat(f"{path}/pids.max").st_uid == 0
    done = oci("exec", oci.id, "sh", "-c", "mkdir /sys/fs/cgroup/own && echo 1 >/sys/fs/cgroup/own/cgroup.procs")
    assert (done.returncode == 0) is writable, done.stderr

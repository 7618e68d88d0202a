"""The systemd cgroup driver on a systemd: what the unit says, what the files say, and that nothing is left of it.

These are tests of ours alone. crun 1.8 limits a cgroup of its own below the scope; runc 1.1 rounds what it writes to
the files, leaves failed units behind, and waits for ever for a unit that is there already.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.oci import Bundle, Process, Runtime, eventually
from tests.needs import enforce, needs

pytestmark = needs("root", "systemd", "cgroup2")

MIB = 1 << 20
TOP = Path("/sys/fs/cgroup")


@pytest.fixture(autouse=True)
def systemd(oci: Runtime, bundle: Bundle) -> Iterator[None]:
    """Every call asks for the driver, and the container's scope is in a slice that it shares with others."""
    if oci.name != "urun":
        pytest.skip("a test of ours")
    oci.argv.append("--systemd-cgroup")
    bundle.linux["cgroupsPath"] = f"machine.slice:utsuwa:{oci.id}"
    yield
    oci.clean()
    assert show(oci, "LoadState") == ["not-found"]
    assert not group(oci).exists()


def unit(oci: Runtime) -> str:
    return f"utsuwa-{oci.id}.scope"


def group(oci: Runtime) -> Path:
    """The scope's directory."""
    return TOP / "machine.slice" / unit(oci)


def show(oci: Runtime, *names: str) -> list[str]:
    """Properties of the scope, in this order."""
    words = ["systemctl", "show", unit(oci), *(f"--property={name}" for name in names)]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found = dict(line.split("=", 1) for line in told.splitlines())
    return [found[name] for name in names]


def files(oci: Runtime, *names: str) -> list[str]:
    """Files of the scope's cgroup."""
    return [(group(oci) / name).read_text().strip() for name in names]


def test_the_whole_life_of_a_container_is_a_scope(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["namespaces"].append({"type": "cgroup"})
    oci.create(bundle.sleep())
    assert show(oci, "ActiveState", "Slice", "Delegate") == ["active", "machine.slice", "yes"]
    assert files(oci, "cgroup.procs") == [str(oci.state()["pid"])]
    oci.ok("start", oci.id)
    eventually(lambda: "ready" in oci.output(), "the container's output")
    assert oci.ok("exec", oci.id, "cat", "/proc/self/cgroup").strip() == "0::/"
    oci.ok("pause", oci.id)
    assert oci.status() == "paused"
    oci.ok("resume", oci.id)
    oci.stop()
    oci.ok("delete", oci.id)
    assert show(oci, "ActiveState") == ["inactive"]


def test_limits_are_in_the_unit_and_in_the_files(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] |= {
        "memory": {"limit": 32 * MIB, "reservation": 16 * MIB, "swap": 48 * MIB},
        "cpu": {"shares": 1024, "quota": 12345, "period": 50000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 20},
        "blockIO": {"weight": 500, "throttleReadBpsDevice": [{"major": 254, "minor": 0, "rate": MIB}]},
        "unified": {"memory.high": str(24 * MIB)},
    }
    oci.create(bundle.sleep())
    assert show(oci, "MemoryMax", "MemoryLow", "MemoryHigh", "MemorySwapMax", "TasksMax") == [
        *(str(size * MIB) for size in (32, 16, 24, 16)),
        "20",
    ]
    assert show(oci, "CPUWeight", "CPUQuotaPerSecUSec", "CPUQuotaPeriodUSec") == ["100", "250ms", "50ms"]
    assert show(oci, "AllowedCPUs", "AllowedMemoryNodes", "IOWeight") == ["0", "0", "4950"]
    assert show(oci, "IOReadBandwidthMax") == [f"/dev/block/254:0 {MIB}"]
    wanted = [str(32 * MIB), str(16 * MIB), str(24 * MIB), str(16 * MIB), "20", "100", "12345 50000", "0"]
    names = ("memory.max", "memory.low", "memory.high", "memory.swap.max", "pids.max", "cpu.weight", "cpu.max")
    assert files(oci, *names, "cpuset.cpus") == wanted
    assert files(oci, "io.max") == [f"254:0 rbps={MIB} wbps=max riops=max wiops=max"]


def test_update_is_remembered_when_systemd_goes_over_its_units_again(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] |= {"memory": {"limit": 32 * MIB}, "cpu": {"quota": 50000}}
    oci.running(bundle.sleep())
    oci.ok("update", "--memory", "64M", "--pids-limit", "30", "--cpu-period", "200000", oci.id)
    limits = {"unified": {"memory.high": str(48 * MIB)}}
    oci.ok("update", "--resources", "-", oci.id, input=json.dumps(limits))
    names = ("MemoryMax", "MemoryHigh", "TasksMax", "CPUQuotaPerSecUSec", "CPUQuotaPeriodUSec")
    assert show(oci, *names) == [str(64 * MIB), str(48 * MIB), "30", "250ms", "200ms"]
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    names = ("memory.max", "memory.high", "pids.max", "cpu.max")
    assert files(oci, *names) == [str(64 * MIB), str(48 * MIB), "30", "50000 200000"]
    oci.ok("update", "--cpu-quota", "-1", "--pids-limit", "-1", "--memory", "-1", oci.id)
    assert show(oci, "MemoryMax", "TasksMax", "CPUQuotaPerSecUSec") == ["infinity"] * 3
    assert files(oci, "memory.max", "pids.max", "cpu.max") == ["max", "max", "max 200000"]


def test_devices_stay_closed_when_systemd_goes_over_its_units_again(oci: Runtime, bundle: Bundle) -> None:
    rules = [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}]
    bundle.linux["resources"]["devices"] = rules
    bundle.process["capabilities"] = {
        kind: ["CAP_MKNOD", "CAP_SYSLOG", "CAP_KILL"] for kind in ("bounding", "effective", "permitted")
    }
    try_them = "mknod /dev/k c 1 11; (: </dev/k) && echo read; (: >>/dev/k) || echo closed; : >>/dev/null && echo null"
    oci.running(bundle.sleep())
    assert show(oci, "DevicePolicy") == ["strict"]
    for _ in range(2):
        done = oci("exec", oci.id, "sh", "-c", f"{try_them}; rm /dev/k")
        assert done.stdout.split() == ["read", "closed", "null"], done.stderr
        subprocess.run(["systemctl", "daemon-reload"], check=True)


def test_annotations_are_properties(oci: Runtime, bundle: Bundle) -> None:
    bundle.config["annotations"] = {
        "org.systemd.property.CollectMode": "'inactive-or-failed'",
        "org.systemd.property.TimeoutStopSec": "7",
        "org.systemd.property.MemoryLow": f"uint64 {MIB}",
    }
    oci.create(bundle.sleep())
    assert show(oci, "CollectMode", "TimeoutStopUSec", "MemoryLow") == ["inactive-or-failed", "7s", str(MIB)]


def test_a_property_that_is_none_stops_the_creation(oci: Runtime, bundle: Bundle) -> None:
    bundle.config["annotations"] = {"org.systemd.property.NoSuchThing": "5"}
    assert "NoSuchThing" in oci.fails("create", "--bundle", str(bundle.write()), oci.id)
    assert not oci.exists()


def test_no_path_is_a_scope_in_the_system_slice(oci: Runtime, bundle: Bundle) -> None:
    del bundle.linux["cgroupsPath"]
    oci.running(bundle.sleep())
    assert (TOP / "system.slice" / f"urun-{oci.id}.scope" / "cgroup.procs").exists()


def test_slices_are_nested_by_their_names(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["cgroupsPath"] = f"utsuwa-a-b.slice:utsuwa:{oci.id}"
    oci.running(bundle.sleep())
    path = Path(f"utsuwa.slice/utsuwa-a.slice/utsuwa-a-b.slice/{unit(oci)}")
    assert str(oci.state()["pid"]) in (TOP / path / "cgroup.procs").read_text().split()


def test_another_path_is_refused(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["cgroupsPath"] = f"/{oci.id}"
    assert 'of format "slice:prefix:name"' in oci.fails("create", "--bundle", str(bundle.write()), oci.id)


def test_a_unit_in_use_is_refused(oci: Runtime, bundle: Bundle) -> None:
    oci.running(bundle.sleep())
    oci.fails("create", "--bundle", str(bundle.path), f"{oci.id}-2")
    assert oci.status() == "running"
    assert not oci.exists(f"{oci.id}-2")


def test_the_death_of_its_first_process_ends_the_scope(oci: Runtime, bundle: Bundle) -> None:
    oci.running(bundle.sleep())
    with Process(oci.state()["pid"]) as process:
        oci.ok("kill", oci.id, "KILL")
        process.wait()
    eventually(lambda: show(oci, "ActiveState") == ["inactive"], "the end of the scope")
    oci.ok("delete", oci.id)


def test_memory_that_runs_out_leaves_no_failed_unit(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"]["memory"] = {"limit": 8 * MIB, "swap": 8 * MIB}
    done = oci.run(bundle.shell("tail /dev/zero"))
    assert done.returncode != 0
    assert show(oci, "LoadState") == ["not-found"]


def test_half_a_megabyte_is_enough_to_start(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"]["memory"] = {"limit": MIB // 2}
    bundle.process["args"] = ["true"]
    oci.run(bundle)
    oci.create(bundle)
    assert files(oci, "memory.max") == [str(MIB // 2)]


def test_a_user_has_scopes_of_the_user_s_systemd(oci: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    enforce("setpriv")
    subprocess.run(["systemctl", "start", "user@1000.service"], check=True)
    del bundle.linux["cgroupsPath"]
    bundle.as_user(tmp_path, 1000)
    bundle.linux["resources"] = {"memory": {"limit": 32 * MIB}, "pids": {"limit": 20}}
    oci.argv[:0] = [
        "setpriv",
        "--reuid=1000",
        "--regid=1000",
        "--clear-groups",
        "env",
        "XDG_RUNTIME_DIR=/run/user/1000",
    ]
    try:
        oci.running(bundle.sleep())
        place = oci.ok("exec", oci.id, "sh", "-c", "cat /proc/self/cgroup").strip()
        path = TOP / f"user.slice/user-1000.slice/user@1000.service/user.slice/urun-{oci.id}.scope"
        assert place == "0::/"
        assert [(path / name).read_text().strip() for name in ("memory.max", "pids.max")] == [str(32 * MIB), "20"]
        oci.ok("update", "--memory", "64M", oci.id)
        assert (path / "memory.max").read_text().strip() == str(64 * MIB)
        oci.clean()
        assert not path.exists()
    finally:
        subprocess.run(["systemctl", "stop", "user@1000.service"], check=True)


def test_delete_forgets_a_unit_that_failed(oci: Runtime, bundle: Bundle) -> None:
    bundle.config["annotations"] = {"org.systemd.property.RuntimeMaxSec": "6"}
    oci.create(bundle.sleep())
    eventually(lambda: show(oci, "ActiveState") == ["failed"], "the end of the unit's time")
    oci.until("stopped")
    oci.ok("delete", oci.id)
    assert show(oci, "LoadState") == ["not-found"]


@needs("criu")
def test_a_restored_container_is_a_scope(oci: Runtime, bundle: Bundle) -> None:
    bundle.process["args"] = ["sleep", "1000"]
    bundle.linux["resources"]["memory"] = {"limit": 32 * MIB}
    place = ("--bundle", str(bundle.write()))
    nothing = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    subprocess.run([*oci.argv, "run", "--detach", *place, oci.id], check=True, **nothing)
    images = ("--image-path", str(oci.directory / "images"))
    oci.ok("checkpoint", *images, oci.id)
    oci("delete", oci.id)
    assert show(oci, "LoadState") == ["not-found"]
    subprocess.run([*oci.argv, "restore", "--detach", *images, *place, oci.id], check=True, **nothing)
    assert show(oci, "ActiveState", "MemoryMax") == ["active", str(32 * MIB)]
    assert files(oci, "cgroup.procs") == [str(oci.state()["pid"])]

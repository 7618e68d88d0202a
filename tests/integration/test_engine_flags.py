"""Every option of `run` that few containers have: what it does inside, or that it is refused by its name."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, Household, until
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox")]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    directory = tmp_path_factory.mktemp("flags")
    household = Household(directory)
    household.load(directory)
    yield household
    household.end()


@pytest.fixture(autouse=True)
def nothing_stays(house: Household) -> Iterator[None]:
    yield
    for identifier in house.ok("ps", "-aq", "--no-trunc").split():
        house.ok("rm", "-f", identifier)
    assert house.leftovers() == []


def sh(house: Household, options: list[str], script: str) -> str:
    return house.ok("run", "--rm", *options, IMAGE, "sh", "-c", script)


def config(house: Household, *options: str) -> dict[str, object]:
    identifier = house.ok("create", *options, IMAGE, "true").strip()
    found: dict[str, object] = json.loads((house.root / "containers" / identifier / "config.json").read_text())
    return found


def test_namespaces_of_the_host(house: Household) -> None:
    links = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in ("pid", "ipc", "uts", "cgroup")}
    script = "for kind in pid ipc uts cgroup; do readlink /proc/self/ns/$kind; done; hostname"
    options = ["--pid", "host", "--ipc", "host", "--uts", "host", "--cgroupns", "host"]
    assert sh(house, options, script).split() == [*links.values(), os.uname().nodename]
    own = sh(house, ["--cgroupns", "private", "--userns", "host"], script).split()
    assert not set(own[:4]) & set(links.values())
    assert sh(house, ["--ipc", "host"], "ls -di /dev/shm").split()[0] == str(os.stat("/dev/shm").st_ino)
    assert sh(house, ["--ipc", "none"], "ls -A /dev/shm 2>/dev/null || true") == ""


def test_namespaces_of_another_container(house: Household) -> None:
    house.ok(
        "run", "-d", "--name", "first", "--ipc", "shareable", IMAGE, "sh", "-c", "echo mine >/dev/shm/x; sleep 99; true"
    )
    until(lambda: house("exec", "first", "test", "-s", "/dev/shm/x").returncode == 0)
    options = ["--name", "second", "--pid", "container:first", "--ipc", "container:first"]
    seen = house.ok("run", *options, IMAGE, "sh", "-c", "cat /proc/1/comm /dev/shm/x; echo yours >/dev/shm/y")
    assert seen == "sh\nmine\n"
    assert house.ok("exec", "first", "cat", "/dev/shm/y") == "yours\n"
    house.ok("kill", "first")
    assert "cannot join PID of a non running container" in house("start", "-a", "second").stderr.decode()
    house.ok("start", "first")  # another process, the same container
    until(lambda: house("exec", "first", "test", "-s", "/dev/shm/x").returncode == 0)
    assert house.ok("start", "-a", "second") == "sh\nmine\n"
    house.ok("create", "--name", "private", IMAGE)
    assert "no shareable IPC" in house("create", "--ipc", "container:private", IMAGE).stderr.decode()
    assert house("create", "--pid", "container:nobody", IMAGE).returncode == 1


def test_shared_memory_settings_and_names(house: Household) -> None:
    options = ["--shm-size=2m", "--sysctl=kernel.msgmax=1234", "--domainname=example", "--oom-score-adj=321"]
    script = (
        "df -k /dev/shm | tail -n1 | tr -s ' ' | cut -d' ' -f2; cat /proc/sys/kernel/msgmax "
        "/proc/sys/kernel/domainname /proc/self/oom_score_adj"
    )
    assert sh(house, options, script).split() == ["2048", "1234", "example", "321"]


def test_devices(house: Household) -> None:
    script = "head -c3 /dev/nothing; stat -c '%t:%T' /dev/nothing; head -c1 /dev/kmsg >/dev/null 2>&1 || echo closed"
    assert sh(house, ["--device", "/dev/null:/dev/nothing:r"], script) == "1:3\nclosed\n"
    assert "1:3" in sh(house, ["--device", "/dev/null"], "stat -c '%t:%T' /dev/null")
    rule = "mknod /k c 1 11 && head -c1 /k >/dev/null && echo open"
    assert house("run", "--rm", IMAGE, "sh", "-c", rule).returncode != 0
    rules = config(house, "--device-cgroup-rule", "c 42:* rm")["linux"]["resources"]["devices"]  # type: ignore[index]
    assert rules[-1] == {"allow": True, "type": "c", "major": 42, "access": "rm"}


def test_limits_are_in_the_configuration(house: Household) -> None:
    options = ["--memory", "64m", "--memory-reservation", "32m", "--cpu-period", "50000", "--cpu-quota", "25000"]
    options += ["--cpuset-mems", "0", "--blkio-weight", "300", "--annotation", "org.example=1"]
    found = config(house, *options)
    resources = found["linux"]["resources"]  # type: ignore[index]
    assert resources["memory"] == {"limit": 64 << 20, "reservation": 32 << 20, "swap": 128 << 20}
    assert resources["cpu"] == {"quota": 25000, "period": 50000, "mems": "0"}
    assert resources["blockIO"] == {"weight": 300}
    assert found["annotations"] == {"org.example": "1"}


@needs("cgroup1")
def test_limits_of_cgroup_v1_are_at_work(house: Household) -> None:
    options = ["-m", "64m", "--memory-reservation", "32m", "--memory-swappiness", "7", "--oom-kill-disable"]
    options += ["--cpu-period", "50000", "--cpu-quota", "25000"]
    script = (
        "cd /sys/fs/cgroup; cat memory/memory.soft_limit_in_bytes memory/memory.swappiness "
        "cpu/cpu.cfs_period_us cpu/cpu.cfs_quota_us; head -n1 memory/memory.oom_control"
    )
    expected = [str(32 << 20), "7", "50000", "25000", "oom_kill_disable", "1"]
    assert sh(house, options, script).split() == expected


def test_the_parent_of_the_cgroup(house: Household) -> None:
    identifier = house.ok("run", "-d", "--cgroup-parent", "/utsuwa/parent", IMAGE, "sleep", "99").strip()
    pid = house.ok("inspect", "-f", "{{.State.Pid}}", identifier).strip()
    assert f"/utsuwa/parent/{identifier}" in Path(f"/proc/{pid}/cgroup").read_text()
    house.ok("rm", "-f", identifier)
    for hierarchy in Path("/sys/fs/cgroup").iterdir():
        if (hierarchy / "utsuwa/parent").is_dir():
            (hierarchy / "utsuwa/parent").rmdir()


def test_masks(house: Household) -> None:
    script = "wc -l </etc/passwd; cat /proc/keys >/dev/null && echo keys; echo x >/proc/sys/kernel/msgmax || echo ro"
    masked = sh(house, ["--security-opt", "mask=/etc/passwd", "--security-opt", "unmask=/proc/keys"], f"{script} 2>&1")
    assert masked.split()[:2] == ["0", "keys"]
    assert masked.split()[-1] == "ro"
    done = house("run", "--rm", "--security-opt", "unmask=ALL", IMAGE, "sh", "-c", "echo 99 >/proc/sys/kernel/msgmax")
    assert done.returncode == 0


def test_files_of_labels_and_of_the_id(house: Household, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("# comment\na=1\nb\n")
    options = ["--label-file", str(tmp_path / "labels"), "--label", "a=2", "--cidfile", str(tmp_path / "cid")]
    identifier = house.ok("create", *options, IMAGE).strip()
    assert (tmp_path / "cid").read_text() == identifier
    assert json.loads(house.ok("inspect", "-f", "{{json .Config.Labels}}", identifier)) == {"a": "2", "b": ""}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--kernel-memory", "1m"], "unsupported: --kernel-memory"),
        (["--gpus", "all"], "unsupported: --gpus"),
        (["--use-api-socket"], "unsupported: --use-api-socket"),
        (["--storage-opt", "size=1g"], "unsupported: --storage-opt"),
        (["--userns", "private"], "unsupported: --userns private"),
        (["--isolation", "hyperv"], "unsupported: --isolation hyperv"),
        (["--volume-driver", "cloud"], "unsupported: --volume-driver cloud"),
        (["--cpu-count", "1"], "unsupported: --cpu-count"),
        (["--disable-content-trust=false"], "unsupported: --disable-content-trust=false"),
        (["--device", "vendor.com/gpu=0"], "unsupported: the CDI device"),
        (["--device", "/dev/none"], "no such file"),
        (["--device", "/dev/null:/dev/x:q"], "bad mode specified: q"),
        (["--device-read-bps", "/dev/null:1m"], "is not a block device"),
        (["--device-read-bps", "sda:1"], "bad format for device path: sda:1"),
        (["--device-cgroup-rule", "x"], "invalid device cgroup format 'x'"),
        (["--sysctl", "kernel.hostname=x"], "sysctl 'kernel.hostname=x' is not allowed"),
        (["--pid", "foo"], "--pid: invalid PID mode"),
        (["--uts", "host", "-h", "x"], "conflicting options: hostname and the UTS mode"),
        (["--memory-swappiness", "200"], "Valid memory swappiness range is 0-100"),
        (["--oom-score-adj", "5000"], "range for oom score adj is [-1000, 1000]"),
        (["--cpus", "1", "--cpu-quota", "5000"], "Nano CPUs and CPU Quota cannot both be set"),
        (["--blkio-weight", "5"], "Range of blkio weight is from 10 to 1000"),
        (["--security-opt", "label=type:x_t"], "does not enforce selinux"),
        (["--security-opt", "mask=relative"], "is not an absolute path"),
        (["--cgroup-parent", "../x"], "must not lead upwards"),
    ],
)
def test_what_is_refused(house: Household, words: list[str], text: str) -> None:
    done = house("create", *words, IMAGE)
    assert done.returncode != 0
    assert text in done.stderr.decode()

"""Facts of the host, read from files of every kind of machine."""

from __future__ import annotations

import os
import time

import pytest

from utsuwa.linux import host


def _mounts(text: str) -> tuple[dict[str, str], dict[str, str]]:
    return host._cgroup_mounts(text.encode())


HYBRID = r"""23 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /docker/x /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,seclabel,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/lib/agent,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
42 31 0:38 / /elsewhere rw,relatime - cgroup2 cgroup2 rw
43 31 0:32 / /with\040space rw - cgroup cgroup rw,pids
"""


def test_controllers_of_all_hierarchies_and_only_of_the_first_mount() -> None:
    mounts, roots = _mounts(HYBRID)
    assert mounts == {
        "cpu": "/sys/fs/cgroup/cpu,cpuacct",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
        "memory": "/sys/fs/cgroup/memory",
        "name=systemd": "/sys/fs/cgroup/systemd",
        "": "/sys/fs/cgroup/unified",
        "pids": "/with space",
    }
    assert roots["memory"] == "/docker/x" and roots[""] == "/"


@pytest.mark.parametrize(("mounts", "mode"), [
    ({}, "none"),
    ({"": "/sys/fs/cgroup"}, "v2"),
    ({"memory": "/sys/fs/cgroup/memory"}, "v1"),
    ({"memory": "/sys/fs/cgroup/memory", "": "/sys/fs/cgroup/unified"}, "hybrid"),
])  # fmt: skip
def test_mode_follows_from_what_is_mounted(mounts: dict[str, str], mode: str) -> None:
    assert host._mode(mounts) == mode


def test_own_cgroups_by_controller() -> None:
    paths = host._cgroup_paths(b"12:cpu,cpuacct:/a:b\n3:name=systemd:/\n0::/user.slice\n")
    assert paths == {"cpu": "/a:b", "cpuacct": "/a:b", "name=systemd": "/", "": "/user.slice"}


def test_capability_masks_of_status() -> None:
    status = b"Name:\tCapBnd: x\nCapInh:\t0000000000000001\nCapPrm:\t0000000000000003\nCapBnd:\t000001fffeffffff\n"
    found = host._status(status)
    assert int(found[b"CapPrm"], 16) == 3 and int(found[b"CapBnd"], 16) == 0x1FFFEFFFFFF


def test_probe_tells_about_this_process() -> None:
    found = host.probe()
    assert found.euid == os.geteuid() and found.last_capability >= 37
    assert found.permitted & ~((2 << found.last_capability) - 1) == 0
    assert set(found.cgroup_roots) == set(found.cgroup_mounts)
    for mount in found.cgroup_mounts.values():
        assert os.path.isdir(mount)
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("CapBnd:"))
    assert found.bounding == int(line.split()[1], 16)


def test_probe_takes_less_than_a_millisecond() -> None:
    def once() -> float:
        begin = time.perf_counter()
        host.probe()
        return time.perf_counter() - begin

    assert min(once() for _ in range(20)) < 0.001

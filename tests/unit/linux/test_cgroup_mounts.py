"""Which cgroup hierarchies a host shows, read off /proc/self/mountinfo."""

from __future__ import annotations

from utsuwa.linux import host

V1 = (
    b"30 25 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n"
    b"31 30 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
)
V2 = b"41 30 0:37 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"


def test_each_hierarchy_is_known_by_its_controllers() -> None:
    mounts, roots = host._cgroup_mounts(V1 + V2)
    assert mounts == {"cpu": "/sys/fs/cgroup/cpu", host.UNIFIED: "/sys/fs/cgroup/unified"}
    assert roots == {"cpu": "/", host.UNIFIED: "/"}


def test_a_hierarchy_under_a_later_mount_can_not_be_used() -> None:
    hidden = b"50 41 0:60 / /sys/fs/cgroup/unified rw - tmpfs none rw\n"
    assert set(host._cgroup_mounts(V1 + V2 + hidden)[0]) == {"cpu"}


def test_a_mount_over_the_parent_hides_all_below_it_and_nothing_beside_it() -> None:
    beside = b"50 41 0:60 / /sys/fs/cgr rw - tmpfs none rw\n"
    over = b"51 41 0:61 / /sys/fs/cgroup rw - tmpfs none rw\n"
    assert set(host._cgroup_mounts(V1 + V2 + beside)[0]) == {"cpu", host.UNIFIED}
    assert host._cgroup_mounts(V1 + V2 + over)[0] == {}

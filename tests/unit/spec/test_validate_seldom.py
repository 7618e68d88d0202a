"""Checks of properties that few containers have."""

from __future__ import annotations

import pytest

from tests.unit.spec.test_validate import ABSENT, verdict, with_changes

_ONE = [{"containerID": 0, "hostID": 1000, "size": 1}]
_BOTH = "id-mapped mounts must have both uid and gid mappings specified"
_BIND = {"destination": "/a", "source": "/b"}
_TIME = {"type": "time"}

SELDOM_BAD = [
    ({"mounts/1": {**_BIND, "options": ["bind"], "uidMappings": _ONE}}, f"mounts[1]: {_BOTH}"),
    (
        {"mounts/1": {**_BIND, "options": ["rbind", "ridmap"]}},
        f"mounts[1]: {_BOTH}; without any, the container needs a user namespace to take them from",
    ),
    (
        {"mounts/1": {"destination": "/a", "type": "tmpfs", "options": ["idmap"]}},
        "mounts[1]: id-mapped mounts are only supported for bind-mounts",
    ),
    (
        {"mounts/1": {**_BIND, "options": ["bind"], "uidMappings": _ONE * 2, "gidMappings": _ONE}},
        "mounts[1].uidMappings[1].containerID: the range overlaps an earlier one",
    ),
    (
        {"mounts/1": {**_BIND, "options": ["bind", "idmap=uids=0-1-2"]}},
        'mounts[1].options: bind mounts cannot have any filesystem-specific options applied, found "idmap=uids=0-1-2"',
    ),
    (
        {"linux/timeOffsets": {"boottime": {"secs": 1}}},
        "linux.timeOffsets: time namespace offsets specified, but there is no time namespace to be made",
    ),
    (
        {"linux/namespaces/5": {**_TIME, "path": "/a"}, "linux/timeOffsets": {"boottime": {"secs": 1}}},
        "linux.timeOffsets: both a time namespace path and time offsets specified, there may only be one",
    ),
    (
        {"linux/namespaces/5": _TIME, "linux/timeOffsets": {"realtime": {"secs": 1}}},
        'linux.timeOffsets["realtime"]: expected one of the clocks boottime, monotonic',
    ),
    (
        {"linux/namespaces/5": _TIME, "linux/timeOffsets": {"boottime": {"nanosecs": 1000000000}}},
        "linux.timeOffsets.boottime.nanosecs: must be less than a second, found 1000000000",
    ),
    (
        {"hostname": ABSENT, "linux/namespaces": [{"type": "mount"}], "linux/netDevices": {"eth0": {}}},
        "linux.netDevices: unable to move network devices without a NET namespace",
    ),
    *(
        ({"linux/netDevices": {name: {}}}, f'linux.netDevices["{name}"]: invalid network device name "{name}"')
        for name in ("a/b", "a:b", "a b", ".", "..", "sixteen-letters-", "")
    ),
    (
        {"linux/intelRdt": {"closID": ".."}},
        'linux.intelRdt.closID: must be the name of a directory, found ".."',
    ),
    (
        {"linux/intelRdt": {"closID": "a/b"}},
        'linux.intelRdt.closID: must be the name of a directory, found "a/b"',
    ),
    (
        {"linux/intelRdt": {"schemata": ["L3:0=f\nMB:0=1"]}},
        'linux.intelRdt.schemata[0]: expected a line as "L3:0=7f0;1=1f", found "L3:0=f\\nMB:0=1"',
    ),
    (
        {"linux/intelRdt": {"memBwSchema": "L3:0=f"}},
        'linux.intelRdt.memBwSchema: expected a line as "MB:0=20;1=70", found "L3:0=f"',
    ),
    (
        {"linux/netDevices": {"eth1": {"name": "a/b"}}},
        'linux.netDevices["eth1"]: invalid network device name "a/b"',
    ),
    (
        {"linux/netDevices": {"eth1": {}, "eth2": {"name": "eth1"}}},
        'linux.netDevices["eth2"].name: "eth1" is there already',
    ),
]


@pytest.mark.parametrize(("changes", "message"), SELDOM_BAD, ids=range(len(SELDOM_BAD)))
def test_refuses_what_few_containers_have(changes: dict[str, object], message: str) -> None:
    assert verdict(with_changes(changes)) == message

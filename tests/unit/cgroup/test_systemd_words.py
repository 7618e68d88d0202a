"""Unit names, properties, annotations: what linux.cgroupsPath, linux.resources, org.systemd.property.* amount to."""

from __future__ import annotations

from typing import Any

import pytest

from utsuwa import errors
from utsuwa.cgroup import devices
from utsuwa.cgroup.systemd import annotations, names, properties
from utsuwa.spec.codec import decode
from utsuwa.spec.runtime import Resources

MAX = (1 << 64) - 1


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("machine.slice:libpod:abc", ("machine.slice", "libpod-abc.scope")),
        (":prefix:name", ("default.slice", "prefix-name.scope")),
        ("user-1000.slice::name", ("user-1000.slice", "name.scope")),
        ("a.slice:ignored:pod-1.slice", ("a.slice", "pod-1.slice")),
        ("-:p:n", ("-", "p-n.scope")),
        (None, ("default.slice", "urun-id.scope")),
        ("", ("default.slice", "urun-id.scope")),
    ],
)
def test_paths_name_a_slice_and_a_unit(path: str | None, expected: tuple[str, str]) -> None:
    assert names.unit_of(path, "id", "default.slice") == expected


@pytest.mark.parametrize(
    "path", ["/a/b", "a", "a:b", "a:b:c:d", "a.slice:b:", "a.slice:b:c/d", "a.slice:b:" + "c" * 300]
)
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"linux\.cgroupsPath"):
        names.unit_of(path, "id", "x.slice")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("system.slice", "/system.slice"),
        ("a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice"),
        ("-.slice", ""),
        ("-", ""),
    ],
)
def test_slices_lie_in_those_that_their_names_begin_with(name: str, expected: str) -> None:
    assert names.expand_slice(name) == expected


@pytest.mark.parametrize(
    "name", ["a", "a-.slice", "-a.slice", "a--b.slice", ".slice", "a/b.slice", "../x.slice", "a.scope"]
)
def test_no_slices(name: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="not the name of a slice"):
        names.expand_slice(name)


def of(sections: dict[str, Any], v2: bool = True) -> dict[str, Any]:
    found = properties.of(decode(Resources, sections), unified=v2)
    assert len({name for name, _, _ in found}) == len(found)
    return {name: value for name, _, value in found}


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({}, {}),
        ({"memory": {"limit": 5, "reservation": 3, "swap": 7}}, {"MemoryMax": 5, "MemoryLow": 3, "MemorySwapMax": 2}),
        ({"memory": {"limit": -1}}, {"MemoryMax": MAX, "MemorySwapMax": MAX}),
        ({"pids": {"limit": 0}}, {"TasksMax": 1}),
        ({"pids": {"limit": -1}}, {"TasksMax": MAX}),
        ({"cpu": {"shares": 1024}}, {"CPUWeight": 100}),
        ({"cpu": {"shares": 1024, "idle": 1}}, {"CPUWeight": 0}),
        ({"cpu": {"quota": 50000}}, {"CPUQuotaPerSecUSec": 500000}),
        ({"cpu": {"quota": 12345, "period": 50000}}, {"CPUQuotaPeriodUSec": 50000, "CPUQuotaPerSecUSec": 250000}),
        ({"cpu": {"quota": -1, "period": 50000}}, {"CPUQuotaPeriodUSec": 50000, "CPUQuotaPerSecUSec": MAX}),
        ({"cpu": {"cpus": "0-2,9", "mems": "0"}}, {"AllowedCPUs": b"\x07\x02", "AllowedMemoryNodes": b"\x01"}),
        (
            {"blockIO": {"weight": 1000, "weightDevice": [{"major": 8, "minor": 0, "weight": 10}]}},
            {"IOWeight": 10000, "IODeviceWeight": [("/dev/block/8:0", 1)]},
        ),
        (
            {"blockIO": {"throttleWriteIOPSDevice": [{"major": 8, "minor": 1, "rate": 5}, {"major": 8, "minor": 2}]}},
            {"IOWriteIOPSMax": [("/dev/block/8:1", 5), ("/dev/block/8:2", MAX)]},
        ),
        ({"unified": {"memory.high": "max", "memory.min": "4096"}}, {"MemoryHigh": MAX, "MemoryMin": 4096}),
        ({"unified": {"cpu.max": "max 100000"}}, {"CPUQuotaPeriodUSec": 100000, "CPUQuotaPerSecUSec": MAX}),
        ({"unified": {"cpu.max": "10000"}}, {"CPUQuotaPerSecUSec": 100000}),
        ({"unified": {"cpu.weight": " 16 ", "cpuset.cpus": "1"}}, {"CPUWeight": 16, "AllowedCPUs": b"\x02"}),
        ({"unified": {"cpu.idle": "1", "io.max": "8:0 rbps=5"}}, {"CPUWeight": 0}),
        ({"unified": {"pids.max": "7"}, "pids": {"limit": 3}}, {"TasksMax": 7}),
        ({"unified": {"memory.oom.group": "1"}}, {"OOMPolicy": "kill"}),
    ],
)
def test_limits_are_properties(sections: dict[str, Any], expected: dict[str, Any]) -> None:
    assert of(sections) == expected


def test_v1_knows_fewer() -> None:
    memory = {"limit": 5, "reservation": 3, "swap": 7}
    assert of({"memory": memory, "cpu": {"shares": 7}, "blockIO": {"weight": 10}}, v2=False) == {
        "MemoryLimit": 5,
        "CPUShares": 7,
        "BlockIOWeight": 10,
    }


@pytest.mark.parametrize(
    "unified", [{"pids.max": "many"}, {"cpu.max": ""}, {"cpuset.cpus": "0-"}, {"cpuset.cpus": "99999"}]
)
def test_values_that_mean_nothing_are_refused(unified: dict[str, str]) -> None:
    with pytest.raises(errors.InvalidArgument):
        of({"unified": unified})


def test_devices() -> None:
    access = devices.Access()
    access.change(True, ("c", 1, 3), devices.READ | devices.WRITE)
    access.change(True, ("b", 8, devices.ANY), devices.READ)
    access.change(True, ("c", devices.ANY, devices.ANY), devices.MKNOD)
    policy, allowed = properties.device_policy(access)
    assert policy == ("DevicePolicy", "s", "strict")
    assert sorted(allowed[2]) == [("/dev/char/1:3", "rw"), ("block-8", "r"), ("char-*", "m")]


@pytest.mark.parametrize("rule", [(True, ("c", devices.ANY, 3)), (True, ("a", devices.ANY, devices.ANY))])
def test_what_systemd_can_t_say_about_devices_is_left_to_us(rule: tuple[bool, Any]) -> None:
    access = devices.Access()
    access.change(*rule, devices.READ)
    assert properties.device_policy(access) == [("DevicePolicy", "s", "auto"), ("DeviceAllow", "a(ss)", [])]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", ("b", True)),
        ("'a \\'b\\' \\u00e9'", ("s", "a 'b' é")),
        ('"x"', ("s", "x")),
        ("5", ("i", 5)),
        ("-0x1F", ("i", -31)),
        ("010", ("i", 8)),
        ("1.5", ("d", 1.5)),
        ("uint64 18446744073709551615", ("t", MAX)),
        ("@t 5", ("t", 5)),
        ("byte 7", ("y", 7)),
        ("objectpath '/a'", ("o", "/a")),
        ("['a', 'b']", ("as", ["a", "b"])),
        ("[uint32 1, 2]", ("au", [1, 2])),
        ("@as []", ("as", [])),
        ("[('/dev/x', uint64 5)]", ("a(st)", [("/dev/x", 5)])),
        ("@a(st) [('a', 1), ('b', 2)]", ("a(st)", [("a", 1), ("b", 2)])),
        ("('a',)", ("(s)", ("a",))),
        ("<'a'>", ("v", ("s", "a"))),
    ],
)
def test_gvariant_texts(text: str, expected: tuple[str, Any]) -> None:
    assert annotations.parse(text) == expected
    assert annotations.parse(f"  {text}\n") == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "'a",
        "[",
        "[]",
        "[1,'a']",
        "(1",
        "()",
        "@s 5",
        "@q",
        "uint64",
        "uint64 'a'",
        "5 5",
        "1.2.3",
        "'\\uXYZW'",
        "@(s) ('a','b')",
    ]
    + ["[" * 100 + "]" * 100, "<", "@as ['a',5]", "boolean 1"],
)
def test_what_is_no_gvariant_text_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidArgument):
        annotations.parse(text)


def test_annotations_are_properties() -> None:
    given = {
        "org.systemd.property.CollectMode": "'inactive-or-failed'",
        "org.systemd.property.TimeoutStopSec": "uint32 2",
        "org.systemd.property.RuntimeMaxUSec": "uint64 7",
        "org.other": "5",
    }
    assert annotations.properties(given) == [
        ("CollectMode", "s", "inactive-or-failed"),
        ("TimeoutStopUSec", "t", 2_000_000),
        ("RuntimeMaxUSec", "t", 7),
    ]
    assert annotations.properties(None) == []


@pytest.mark.parametrize(
    ("key", "text"),
    [("", "5"), ("a", "5"), ("Memory Max", "5"), ("XSec", "'a'"), ("XSec", "-5"), ("XSec", "true"), ("Fine", "(")],
)
def test_broken_annotations_are_named(key: str, text: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=rf'annotations\["org\.systemd\.property\.{key}"\]'):
        annotations.properties({f"org.systemd.property.{key}": text})

"""The systemd driver against a systemd that is played: what it is asked for, and what its refusals become."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cgroup.fake_systemd import Systemd
from tests.unit.cgroup.trees import fill, v1_host, v2_host, written
from utsuwa import errors
from utsuwa.cgroup.filesystem import load
from utsuwa.cgroup.journal import Journal
from utsuwa.cgroup.manager import Join
from utsuwa.cgroup.systemd import bus
from utsuwa.cgroup.systemd.manager import SystemdManager, open_manager
from utsuwa.linux import host as facts
from utsuwa.spec.codec import decode
from utsuwa.spec.runtime import Resources

UNIT = "utsuwa-x.scope"
PLACE = f"machine.slice/machine-a.slice/{UNIT}"
PATH = "machine-a.slice:utsuwa:x"


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    """A systemd at the address that both of its buses have in the environment."""
    path = tmp_path / "bus"
    served = Systemd(path)
    for name in ("DBUS_SYSTEM_BUS_ADDRESS", "DBUS_SESSION_BUS_ADDRESS"):
        monkeypatch.setenv(name, f"unix:path={path}")
    yield served
    served.close()


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cgroup v2 tree in which our unit's directory appears with the first process in it."""
    top = tmp_path / "cgroup"
    monkeypatch.setattr(facts, "cgroups_of", lambda pid: {"": f"/{PLACE}"})
    v2_host(top)
    return top


def unit(tree: Path, files: dict[str, str] | None = None) -> Path:
    """The unit's directory with what the kernel would have there."""
    limits = dict.fromkeys(("memory.max", "memory.swap.max", "pids.max"), "max\n")
    usual = {
        **limits,
        "cgroup.controllers": "cpu memory pids io cpuset\n",
        "cgroup.procs": "",
        "cgroup.events": "populated 0\n",
    }
    return fill(tree / PLACE, {**usual, "cpu.max": "max 100000\n", **(files or {})})


def given(**sections: object) -> Resources:
    return decode(Resources, sections)


def opened(tree: Path, path: str | None = PATH, **options: Any) -> SystemdManager:
    return open_manager(v2_host(tree, **options), path, "x")


def properties(values: tuple[Any, ...]) -> dict[str, Any]:
    """The properties of a call, without their signatures."""
    (listed,) = [value for value in values if isinstance(value, list) and value]
    return {name: value for name, (_, value) in listed}


def test_a_scope_is_started_around_the_first_process(systemd: Systemd, tree: Path) -> None:
    manager = opened(tree)
    assert manager.join() == Join(f"{tree}/{PLACE}", (), UNIT)
    resources = given(memory={"limit": 1 << 25}, pids={"limit": 0}, devices=[{"allow": False, "access": "rwm"}])
    manager.create(resources)
    assert not (tree / PLACE).exists()
    unit(tree)
    manager.admit(4321, resources)
    assert systemd.methods() == ["ResetFailedUnit", "StartTransientUnit"]
    name, mode, _, auxiliary = systemd.called("StartTransientUnit")
    assert (name, mode, auxiliary) == (UNIT, "replace", [])
    told = properties(systemd.called("StartTransientUnit"))
    allowed = told.pop("DeviceAllow")
    assert ("/dev/char/1:3", "rwm") in allowed and ("char-136", "rwm") in allowed and ("block-*", "m") in allowed
    assert told == {
        "Description": f"utsuwa container {UNIT}", "Slice": "machine-a.slice", "PIDs": [4321], "Delegate": True,
        "DefaultDependencies": False, "CPUAccounting": True, "MemoryAccounting": True, "TasksAccounting": True,
        "IOAccounting": True, "MemoryMax": 1 << 25, "TasksMax": 1, "DevicePolicy": "strict",
    }  # fmt: skip


def test_the_start_is_told_what_it_waits_for_before(systemd: Systemd, tree: Path) -> None:
    manager = opened(tree)
    unit(tree)
    manager.create()
    manager.admit(1)
    names = [name for name, _ in systemd.calls]
    assert names.index("AddMatch") < names.index("Subscribe") < names.index("StartTransientUnit")
    assert systemd.lines == ["AUTH EXTERNAL", "DATA"], "the socket says who we are"


def test_limits_of_the_start_are_files_too_and_not_set_twice(systemd: Systemd, tree: Path) -> None:
    manager = opened(tree)
    resources = given(memory={"limit": 1 << 25}, cpu={"quota": 12345})
    manager.create(resources)
    path = unit(tree)
    manager.admit(1, resources)
    manager.apply(resources, devices=False)
    assert "SetUnitProperties" not in systemd.methods()
    assert (written(path)["memory.max"], written(path)["cpu.max"]) == (str(1 << 25), "12345 100000")
    assert properties(systemd.called("StartTransientUnit"))["CPUQuotaPerSecUSec"] == 130000, "rounded up to a percent"


def test_update_sets_properties_and_files(systemd: Systemd, tree: Path) -> None:
    path = unit(tree, {"cpu.max": "20000 100000\n"})
    manager = load({**opened(tree).save()})
    manager.apply(given(cpu={"period": 50000}, memory={"limit": -1, "swap": -1}), devices=False)
    name, runtime, _ = systemd.called("SetUnitProperties")
    assert (name, runtime) == (UNIT, True)
    assert properties(systemd.called("SetUnitProperties")) == {
        "CPUQuotaPeriodUSec": 50000,
        "CPUQuotaPerSecUSec": 400000,
        "MemoryMax": (1 << 64) - 1,
        "MemorySwapMax": (1 << 64) - 1,
    }
    assert (written(path)["cpu.max"], written(path)["memory.max"]) == ("20000 50000", "max")


def test_a_refused_property_is_an_error_that_names_the_unit(systemd: Systemd, tree: Path) -> None:
    unit(tree)
    systemd.answers["SetUnitProperties"] = lambda *_: ("org.freedesktop.DBus.Error.InvalidArgs", "Out of range.")
    with pytest.raises(errors.InvalidArgument, match=f"unable to set properties of systemd unit {UNIT}: Out of range$"):
        load(opened(tree).save()).apply(given(pids={"limit": 5}), devices=False)


def test_what_systemd_refuses_is_taken_back_in_the_files(systemd: Systemd, tree: Path) -> None:
    path = unit(tree)
    before = written(path)
    systemd.answers["SetUnitProperties"] = lambda *_: ("org.freedesktop.DBus.Error.AccessDenied", "No.")
    with pytest.raises(errors.PermissionDenied), Journal() as journal:
        load(opened(tree).save()).apply(given(pids={"limit": 5}, memory={"limit": 7}), journal=journal)
    assert {name: text.strip() for name, text in written(path).items()} == {
        name: text.strip() for name, text in before.items()
    }


def test_what_an_old_systemd_can_do_without_is_left_out(systemd: Systemd, tree: Path) -> None:
    def refuse(_name: str, _mode: str, wanted: list[Any], _aux: list[Any]) -> tuple[str, Any]:
        if any(name == "OOMPolicy" for name, _ in wanted):
            return "org.freedesktop.DBus.Error.PropertyReadOnly", "Cannot set property OOMPolicy, or unknown property."
        return "o", ("/org/freedesktop/systemd1/job/7",)

    systemd.answers["StartTransientUnit"] = refuse
    manager = opened(tree)
    unit(tree)
    manager.create()
    manager.admit(1, given(unified={"memory.oom.group": "1"}))
    assert systemd.methods().count("StartTransientUnit") == 2


@pytest.mark.parametrize("change", [{"unit": 5}, {"unit": "a/b.scope"}, {"unit": "dbus.service"}, {"files": "x"}])
def test_a_damaged_record_is_no_manager(tree: Path, change: dict[str, Any]) -> None:
    with pytest.raises(errors.Internal, match="saved cgroup manager"):
        load({**opened(tree).save(), **change})


def test_any_other_unknown_property_fails(systemd: Systemd, tree: Path) -> None:
    text = "Cannot set property Nonsense, or unknown property."
    systemd.answers["StartTransientUnit"] = lambda *_: ("org.freedesktop.DBus.Error.PropertyReadOnly", text)
    manager = open_manager(v2_host(tree), PATH, "x", {"org.systemd.property.Nonsense": "1"})
    manager.create()
    with pytest.raises(
        errors.InvalidArgument, match=f"unable to start systemd unit {UNIT}: Cannot set property Nonsense"
    ):
        manager.admit(1)
    assert properties(systemd.called("StartTransientUnit"))["Nonsense"] == 1


def test_a_unit_of_another_is_left_alone(systemd: Systemd, tree: Path) -> None:
    systemd.answers["StartTransientUnit"] = lambda *_: (
        "org.freedesktop.systemd1.UnitExists",
        "Unit was already loaded.",
    )
    manager = opened(tree)
    manager.create()
    with pytest.raises(errors.Conflict, match="already loaded"):
        manager.admit(1)
    manager.remove()
    assert "StopUnit" not in systemd.methods()


def test_a_job_that_fails_is_an_error_and_its_unit_goes(systemd: Systemd, tree: Path) -> None:
    systemd.result = "failed"
    manager = opened(tree)
    manager.create()
    with pytest.raises(errors.FailedPrecondition, match=f'error creating systemd unit "{UNIT}": got "failed"'):
        manager.admit(1)
    manager.remove()
    assert systemd.methods()[-2:] == ["StopUnit", "ResetFailedUnit"]


def test_remove_stops_the_unit_and_forgets_its_failure(systemd: Systemd, tree: Path) -> None:
    load(opened(tree).save()).remove()
    assert systemd.methods() == ["StopUnit", "ResetFailedUnit"]
    assert systemd.called("StopUnit") == (UNIT, "replace")


def test_a_unit_that_is_gone_is_removed(systemd: Systemd, tree: Path) -> None:
    systemd.answers["StopUnit"] = lambda *_: ("org.freedesktop.systemd1.NoSuchUnit", "Unit utsuwa-x.scope not loaded.")
    load(opened(tree).save()).remove()


def test_a_unit_in_use_is_not_stopped(systemd: Systemd, tree: Path) -> None:
    unit(tree, {"cgroup.procs": f"{os.getpid()}\n"})
    with pytest.raises(errors.FailedPrecondition, match="still in use"):
        load(opened(tree).save()).remove()
    with pytest.raises(errors.FailedPrecondition, match=r"container's cgroup is not empty: 1 process\(es\) found"):
        opened(tree).create()
    assert "StopUnit" not in systemd.methods()


def test_a_frozen_cgroup_is_not_given_to_another(systemd: Systemd, tree: Path) -> None:
    unit(tree, {"cgroup.freeze": "1\n"})
    with pytest.raises(errors.FailedPrecondition, match="container's cgroup unexpectedly frozen"):
        opened(tree).create()


def test_a_slice_needs_no_process(systemd: Systemd, tree: Path) -> None:
    manager = opened(tree, "ignored:ignored:pods-a.slice")
    assert manager.join() == Join(f"{tree}/pods.slice/pods-a.slice", ())
    fill(tree / "pods.slice/pods-a.slice", {"cgroup.events": "populated 0\n"})
    manager.create(given(pids={"limit": 4}))
    told = properties(systemd.called("StartTransientUnit"))
    assert (told["TasksMax"], told["Wants"]) == (4, ["ignored"])
    assert not told.keys() & {"PIDs", "Slice", "Delegate"}


def test_the_user_s_systemd_puts_further_processes_in(
    systemd: Systemd, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "user.slice/user-1000.slice/user@1000.service/user.slice/urun-x.scope"
    manager = opened(tree, None, euid=1000)
    assert manager.join() == Join(f"{tree}/{place}", (), "urun-x.scope")
    manager.create()
    fill(tree / "elsewhere/urun-x.scope", {"cgroup.procs": "", "cgroup.controllers": ""})
    monkeypatch.setattr(facts, "cgroups_of", lambda pid: {"": "/elsewhere/urun-x.scope"})
    manager.admit(77)
    assert manager.directories() == {"": f"{tree}/elsewhere/urun-x.scope"}, "where systemd has put it"
    assert "DevicePolicy" not in properties(systemd.called("StartTransientUnit")), "no user can have that"
    again = load(manager.save())
    assert again.join().scope == "urun-x.scope"
    again.admit(78)  # type: ignore[attr-defined]
    assert systemd.called("AttachProcessesToUnit") == ("urun-x.scope", "", [78])


def test_our_own_place_tells_where_the_user_s_systemd_is(tree: Path) -> None:
    own = "/user.slice/user-7.slice/user@7.service/app.slice/shell.scope"
    manager = open_manager(v2_host(tree, own, in_user_namespace=True), None, "x")
    assert manager.directories() == {"": f"{tree}/user.slice/user-7.slice/user@7.service/user.slice/urun-x.scope"}


def test_a_process_that_systemd_has_put_elsewhere_stops_the_creation(
    systemd: Systemd, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "cgroups_of", lambda pid: {"": "/init.scope"})
    manager = opened(tree)
    manager.create()
    with pytest.raises(errors.FailedPrecondition, match=r"its process is in /init\.scope instead"):
        manager.admit(1)


def test_v1_has_the_old_names(systemd: Systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = v1_host(tmp_path / "v1")
    monkeypatch.setattr(facts, "cgroups_of", lambda pid: {"name=systemd": f"/{PLACE}"})
    manager = open_manager(host, PATH, "x")
    fill(tmp_path / "v1/devices" / PLACE, {"devices.list": ""})
    assert manager.join().scope == UNIT and f"{tmp_path}/v1/freezer/{PLACE}" in manager.join().v1
    resources = given(memory={"limit": 1 << 25}, cpu={"shares": 512}, blockIO={"weight": 100}, pids={"limit": -1})
    manager.create(resources)
    manager.admit(1, resources)
    told = properties(systemd.called("StartTransientUnit"))
    wanted = {"MemoryLimit": 1 << 25, "CPUShares": 512, "BlockIOWeight": 100, "TasksMax": (1 << 64) - 1}
    assert {name: told[name] for name in wanted} == wanted
    assert "IOAccounting" not in told and told["BlockIOAccounting"]
    assert (tmp_path / "v1/freezer" / PLACE).is_dir(), "hierarchies that systemd does not use are ours to make"


def test_no_systemd_is_a_clear_error(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tree}/nothing;unix:abstract=utsuwa-test-nothing")
    monkeypatch.setattr(bus, "PRIVATE", str(tree / "neither"))
    with pytest.raises(
        errors.FailedPrecondition, match=r"systemd not running on this host.*leave --systemd-cgroup out"
    ):
        opened(tree).admit(1)


def test_refused_authentication_is_told(systemd: Systemd, tree: Path) -> None:
    systemd.refuses = True
    with pytest.raises(errors.PermissionDenied, match="REJECTED"):
        opened(tree).admit(1)


def test_a_bus_without_systemd_is_told(systemd: Systemd, tree: Path) -> None:
    text = "The name org.freedesktop.systemd1 was not provided by any .service files"
    systemd.answers["StartTransientUnit"] = lambda *_: ("org.freedesktop.DBus.Error.ServiceUnknown", text)
    manager = opened(tree)
    manager.create()
    with pytest.raises(errors.Unavailable, match="was not provided"):
        manager.admit(1)


def test_a_systemd_that_does_not_answer_is_not_waited_for_for_ever(
    systemd: Systemd, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd.answers["StartTransientUnit"] = lambda *_: ("o", ("/another/job",))
    monkeypatch.setattr(bus, "PATIENCE", 0.05)
    manager = opened(tree)
    manager.create()
    with pytest.raises(errors.Unavailable, match=r"no answer in 0\.05 s"):
        manager.admit(1)

"""What every cgroup manager owes, on the cgroups that this host has: `v1`, `hybrid`, `v2`.

`bare` is the cgroup2 tree of a hybrid host: all of v2 but its controllers.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.cgroup_bpf import attach
from tests.contract.cgroup_members import Member, fork_and_reap, open_device
from tests.needs import cgroups, enforce
from utsuwa import errors
from utsuwa.cgroup import tree
from utsuwa.cgroup.filesystem import load, open_manager
from utsuwa.cgroup.journal import Journal
from utsuwa.cgroup.manager import Join, Manager
from utsuwa.linux.host import Host, probe
from utsuwa.spec.codec import decode
from utsuwa.spec.runtime import Resources

pytestmark = cgroups
_NUMBERS = itertools.count()
MIB = 1 << 20


@pytest.fixture(params=["v1", "hybrid", "v2", "bare"])
def host(request: pytest.FixtureRequest) -> Host:
    """This host, as far as it has that kind of cgroups."""
    enforce("root", "cgroup2" if request.param == "v2" else "cgroup1")
    facts = probe()
    if request.param == "bare":
        if facts.cgroup_mode != "hybrid":
            pytest.skip(f"this host's cgroups are {facts.cgroup_mode}")
        return facts.replace(cgroup_mode="v2", cgroup_mounts={"": facts.cgroup_mounts[""]})
    if request.param == "v1":
        mounts = {name: path for name, path in facts.cgroup_mounts.items() if name}
        return facts.replace(cgroup_mode="v1", cgroup_mounts=mounts)
    if facts.cgroup_mode != request.param:
        pytest.skip(f"this host's cgroups are {facts.cgroup_mode}")
    return facts


@pytest.fixture
def manager(host: Host) -> Iterator[Manager]:
    """A manager for a cgroup that is not there yet, and is not there afterwards."""
    made = open_manager(host, f"/utsuwa-test-{os.getpid()}-{next(_NUMBERS)}", "unused")
    yield made
    made.kill(signal.SIGKILL)
    made.remove()
    assert [path for path in directories(made) if os.path.exists(path)] == []


@pytest.fixture
def limiting(manager: Manager, host: Host) -> Manager:
    """A manager with controllers to set limits with."""
    if host.cgroup_mode == "v2" and "memory" not in Path(host.cgroup_mounts[""], "cgroup.controllers").read_text():
        pytest.skip("the controllers are in use by cgroup v1")
    return manager


def directories(manager: Manager) -> list[str]:
    """The directories of a manager."""
    joining = manager.join()
    return [path for path in (joining.unified, *joining.v1) if path]


def below(manager: Manager, name: str) -> Join:
    """A cgroup that the container makes for itself, in every hierarchy."""
    joining = manager.join()
    for path in directories(manager):
        os.mkdir(f"{path}/{name}")
    for path in joining.v1:
        if os.path.exists(f"{path}/cpuset.cpus"):
            for key in ("cpuset.cpus", "cpuset.mems"):
                Path(path, name, key).write_text(Path(path, key).read_text())
    return Join(f"{joining.unified}/{name}" if joining.unified else "", tuple(f"{path}/{name}" for path in joining.v1))


def setting(manager: Manager, *keys: str) -> str:
    """The content of the file that has one of the names ``keys``, v1's or v2's."""
    for path in directories(manager):
        for key in keys:
            if os.path.exists(f"{path}/{key}"):
                return Path(path, key).read_text().strip()
    raise AssertionError(f"none of {keys}")


def given(**sections: object) -> Resources:
    return decode(Resources, sections)


def test_create_makes_what_remove_removes(manager: Manager) -> None:
    manager.create()
    assert directories(manager)
    assert all(os.path.isdir(path) for path in directories(manager))
    assert manager.pids() == []
    manager.remove()
    assert not any(os.path.exists(path) for path in directories(manager))
    manager.remove()


def test_a_process_that_joins_as_told_is_a_member_everywhere(manager: Manager) -> None:
    manager.create()
    name = directories(manager)[0].rpartition("/")[2]
    with Member(manager.join()) as member:
        assert manager.pids() == [member.pid]
        lines = Path(f"/proc/{member.pid}/cgroup").read_text().splitlines()
        joined = [line for line in lines if line.endswith(f"/{name}")]
        assert len(joined) == len(directories(manager))


def test_a_cgroup_in_use_is_not_given_to_another(manager: Manager) -> None:
    manager.create()
    with Member(manager.join()):
        with pytest.raises(errors.FailedPrecondition, match=r"container's cgroup is not empty: 1 process\(es\) found"):
            manager.create()
        assert len(manager.pids()) == 1
    manager.create()


def test_a_frozen_cgroup_is_not_given_to_another(manager: Manager) -> None:
    manager.create()
    manager.freeze()
    with pytest.raises(errors.FailedPrecondition, match="container's cgroup unexpectedly frozen"):
        manager.create()
    manager.thaw()
    manager.create()


def test_pids_include_cgroups_below_only_when_asked(manager: Manager) -> None:
    manager.create()
    with Member(manager.join()) as first, Member(below(manager, "sub")) as second:
        assert manager.pids() == sorted([first.pid, second.pid])
        assert manager.pids(recursive=False) == [first.pid]


def test_kill_reaches_cgroups_below(manager: Manager) -> None:
    manager.create()
    with Member(manager.join()) as first, Member(below(manager, "sub")) as second:
        manager.kill(signal.SIGKILL)
        assert [os.WTERMSIG(member.wait()) for member in (first, second)] == [signal.SIGKILL] * 2
    manager.kill(signal.SIGKILL)


def test_kill_sends_other_signals_too(manager: Manager) -> None:
    manager.create()
    with Member(manager.join()) as member:
        manager.kill(signal.SIGTERM)
        assert os.WTERMSIG(member.wait()) == signal.SIGTERM


def test_freeze_stops_and_thaw_goes_on(manager: Manager) -> None:
    manager.create()
    with Member(manager.join(), (lambda: None,)) as member:
        assert not manager.frozen()
        manager.freeze()
        assert manager.frozen()
        manager.thaw()
        assert not manager.frozen()
        assert member.act(0) == 0


def test_kill_reaches_frozen_processes(manager: Manager) -> None:
    manager.create()
    with Member(manager.join()) as member:
        manager.freeze()
        manager.kill(signal.SIGKILL)
        assert os.WTERMSIG(member.wait()) == signal.SIGKILL


def test_remove_takes_cgroups_below_along(manager: Manager) -> None:
    manager.create()
    below(manager, "sub")
    below(manager, "sub/deeper")
    manager.remove()
    assert not any(os.path.exists(path) for path in directories(manager))


def test_remove_names_who_is_in_the_way(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "_PATIENCE", 0.01)
    manager.create()
    with Member(manager.join()) as member:
        with pytest.raises(errors.FailedPrecondition, match=f"still in use by process {member.pid}$"):
            manager.remove()
        manager.kill(signal.SIGKILL)
        member.wait()


def test_another_process_takes_over_from_the_record(manager: Manager) -> None:
    manager.create()
    again = load(json.loads(json.dumps(manager.save())))
    with Member(manager.join()) as member:
        assert again.pids() == [member.pid]
        again.kill(signal.SIGKILL)
        member.wait()
    again.remove()
    assert not any(os.path.exists(path) for path in directories(manager))


def test_limits_are_what_the_kernel_says_afterwards(limiting: Manager) -> None:
    limiting.create()
    limiting.apply(
        given(
            memory={"limit": 64 * MIB, "reservation": 32 * MIB},
            cpu={"shares": 2048, "quota": 50000, "period": 200000, "cpus": "0", "mems": "0"},
            pids={"limit": 17},
        )
    )
    assert setting(limiting, "memory.limit_in_bytes", "memory.max") == str(64 * MIB)
    assert setting(limiting, "memory.soft_limit_in_bytes", "memory.low") == str(32 * MIB)
    assert setting(limiting, "cpu.shares", "cpu.weight") in ("2048", "174")
    assert setting(limiting, "cpu.cfs_quota_us", "cpu.max") in ("50000", "50000 200000")
    assert setting(limiting, "cpuset.cpus") == "0"
    assert setting(limiting, "pids.max") == "17"


def test_limits_move_up_and_down(limiting: Manager) -> None:
    limiting.create()
    for limit, swap, quota, period in ((64, 64, 5000, 10000), (128, 256, 90000, 100000), (32, 48, 2000, 20000)):
        limiting.apply(given(memory={"limit": limit * MIB, "swap": swap * MIB}, cpu={"quota": quota, "period": period}))
        assert setting(limiting, "memory.limit_in_bytes", "memory.max") == str(limit * MIB)
        assert setting(limiting, "memory.memsw.limit_in_bytes", "memory.swap.max") in (
            str(swap * MIB),
            str((swap - limit) * MIB),
        )
    limiting.apply(given(cpu={"period": 50000}))
    assert setting(limiting, "cpu.cfs_quota_us", "cpu.max") in ("2000", "2000 50000")
    limiting.apply(given(memory={"limit": -1}, cpu={"quota": -1}, pids={"limit": -1}))
    assert setting(limiting, "pids.max") == "max"
    assert setting(limiting, "cpu.cfs_quota_us", "cpu.max") in ("-1", "max 50000")


def test_a_failed_update_changes_nothing(limiting: Manager) -> None:
    limiting.create()
    first = {
        "memory": {"limit": 64 * MIB, "swap": 80 * MIB},
        "cpu": {"shares": 2048, "quota": 50000, "period": 200000},
        "pids": {"limit": 17},
    }
    limiting.apply(given(**first))
    names = [
        ("memory.limit_in_bytes", "memory.max"),
        ("memory.memsw.limit_in_bytes", "memory.swap.max"),
        ("cpu.shares", "cpu.weight"),
        ("cpu.cfs_quota_us", "cpu.max"),
        ("cpu.cfs_period_us", "cpu.max"),
        ("pids.max",),
    ]
    before = [setting(limiting, *each) for each in names]
    for limit, swap, quota, period in ((128, 256, 90000, 100000), (32, 48, 2000, 20000)):
        second = {
            "memory": {"limit": limit * MIB, "swap": swap * MIB},
            "cpu": {"shares": 10, "quota": quota, "period": period},
            "pids": {"limit": -1},
            "blockIO": {"throttleReadBpsDevice": [{"major": 4000, "minor": 4000, "rate": 5}]},
        }
        with pytest.raises(errors.Error, match=r'write "4000:4000 .*5"'), Journal() as journal:
            limiting.apply(given(**second), journal=journal)
        assert [setting(limiting, *each) for each in names] == before


def test_the_pids_limit_holds(limiting: Manager) -> None:
    limiting.create()
    with Member(limiting.join(), (fork_and_reap,)) as member:
        assert member.act(0) == 0
        limiting.apply(given(pids={"limit": 1}))
        assert member.act(0) == errno.EAGAIN


@pytest.mark.parametrize("value", [{"cpus": "99999"}, {"quota": 1}, {"period": 1}])
def test_values_that_the_kernel_refuses_are_named(limiting: Manager, value: dict) -> None:
    limiting.create()
    with pytest.raises(errors.Error, match=r'write ".*" to /.*/cpu(set)?\.'):
        limiting.apply(given(cpu=value))


def test_devices_are_what_the_rules_say(manager: Manager) -> None:
    manager.create()
    rules = given(devices=[{"allow": False, "access": "rwm"}])
    with Member(manager.join(), (open_device("/dev/null"), open_device("/dev/kmsg"))) as member:
        assert [member.act(0), member.act(1)] == [0, 0]
        manager.apply(rules)
        program = manager.device_program(rules)
        if program is not None:
            attach(program, manager.join().unified)
        assert [member.act(0), member.act(1)] == [0, errno.EPERM]


def test_devices_allow_all_but_one(manager: Manager) -> None:
    manager.create()
    rules = given(
        devices=[
            {"allow": True, "access": "rwm"},
            {"allow": False, "type": "c", "major": 1, "minor": 11, "access": "r"},
        ]
    )
    with Member(manager.join(), (open_device("/dev/null"), open_device("/dev/kmsg"))) as member:
        manager.apply(rules)
        program = manager.device_program(rules)
        if program is not None:
            attach(program, manager.join().unified)
        assert [member.act(0), member.act(1)] == [0, errno.EPERM]


def test_devices_can_be_left_as_they_are(manager: Manager) -> None:
    manager.create()
    with Member(manager.join(), (open_device("/dev/kmsg"),)) as member:
        manager.apply(given(devices=[{"allow": False, "access": "rwm"}]), devices=False)
        assert member.act(0) == 0


def test_a_delegated_cgroup_takes_cgroups_but_keeps_its_limits(manager: Manager, host: Host) -> None:
    manager.create()
    manager.delegate(4242)
    owners = {path: {entry.name: entry.stat().st_uid for entry in os.scandir(path)} for path in directories(manager)}
    for path, files in owners.items():
        given_away = {name for name, uid in files.items() if uid == 4242}
        if host.cgroup_mode != "v2":
            assert (os.stat(path).st_uid, given_away) == (0, set())
            continue
        assert os.stat(path).st_uid == 4242
        assert given_away >= {"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}
        assert not given_away & {"cgroup.freeze", "cgroup.kill", "cgroup.max.depth", "pids.max", "memory.max"}


def test_stats_count_the_members(limiting: Manager) -> None:
    limiting.create(given(pids={"limit": 9}))
    limiting.apply(given(pids={"limit": 9}, memory={"limit": 64 * MIB}))
    with Member(limiting.join(), (fork_and_reap,)) as member:
        member.act(0)
        data = limiting.stats()
    assert data["pids"] == {"current": 1, "limit": 9}
    assert data["memory"]["usage"]["limit"] == 64 * MIB
    assert data["memory"]["usage"]["usage"] > 0
    assert data["memory"]["raw"]
    assert data["cpu"]["usage"]["total"] > 0
    assert set(data["cpu"]["throttling"]) == {"periods", "throttledPeriods", "throttledTime"}
    assert 0 in data["cpuset"]["cpus"]
    assert json.loads(json.dumps(data)) == data

"""The verbs that look at containers and change them, from the command line."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, Household, until
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox")]
COUNTING = "i=0; while :; do i=$((i+1)); echo $i > /count; sleep 0.01; done"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    directory = tmp_path_factory.mktemp("verbs")
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


def run(house: Household, name: str, *words: str) -> str:
    return house.ok("run", "-d", "--name", name, IMAGE, *(words or ("sleep", "1000"))).strip()


def complaint(house: Household, *words: str) -> str:
    done = house(*words)
    assert done.returncode != 0, words
    assert "Traceback" not in done.stderr.decode()
    return done.stderr.decode()


# --- pause ----------------------------------------------------------------------------------------------------------


def test_a_paused_container_stands_still(house: Household) -> None:
    identifier = run(house, "still", "sh", "-c", COUNTING)
    assert house.ok("pause", "still") == "still\n"
    assert house.ok("ps", "--format", "{{.State}} {{.Status}}").rstrip().endswith("(Paused)")
    assert house.ok("inspect", "-f", "{{.State.Running}} {{.State.Paused}} {{.State.Status}}", "still") == (
        "true true paused\n"
    )
    assert f"Container {identifier} is already paused" in complaint(house, "pause", "still")
    assert "unpause the container before exec" in complaint(house, "exec", "still", "true")
    assert "unpause it first" in complaint(house, "attach", "still")
    assert "paused container" in complaint(house, "start", "-a", "still")
    assert f"cannot remove a paused container {identifier}" in complaint(house, "rm", "still")
    assert house.ok("unpause", "still") == "still\n"
    assert f"Container {identifier} is not paused" in complaint(house, "unpause", "still")
    until(lambda: house("exec", "still", "test", "-s", "/count").returncode == 0)


@pytest.mark.parametrize(("words", "code"), [(("kill",), "137"), (("stop", "-t", "5"), "7"), (("rm", "-f"), "")])
def test_a_paused_container_can_be_ended(house: Household, words: tuple[str, ...], code: str) -> None:
    run(house, "ended", "sh", "-c", "trap 'exit 7' TERM; touch /ready; while :; do sleep 0.01; done")
    until(lambda: house("exec", "ended", "test", "-e", "/ready").returncode == 0)
    house.ok("pause", "ended")
    assert house.ok(*words, "ended") == "ended\n"
    if code:
        assert house.ok("wait", "ended").strip() == code


def test_only_what_runs_is_paused(house: Household) -> None:
    house.ok("create", "--name", "made", IMAGE)
    assert "is not running" in complaint(house, "pause", "made")
    assert "is not paused" in complaint(house, "unpause", "made")


# --- rename ---------------------------------------------------------------------------------------------------------


def test_a_container_gets_another_name(house: Household) -> None:
    run(house, "before")
    house.ok("rename", "before", "after")
    assert house.ok("ps", "--format", "{{.Names}}") == "after\n"
    assert house.ok("inspect", "-f", "{{.Name}}", "after") == "/after\n"
    assert "No such container: before" in complaint(house, "inspect", "--type", "container", "before")
    run(house, "before")
    assert "is already in use by container" in complaint(house, "rename", "before", "after")
    assert "same name" in complaint(house, "rename", "after", "after")
    assert "name" in complaint(house, "rename", "after", "not/a name")
    assert sorted(os.listdir(house.root / "names")) == ["after", "before"]


@pytest.mark.parametrize("saved", [False, True])
def test_a_renamer_that_was_killed_leaves_one_name(house: Household, saved: bool) -> None:
    identifier = run(house, "one")
    os.symlink(identifier, house.root / "names" / "two")  # taken, and then killed: before the record, or after
    if saved:
        record = house.root / "containers" / identifier / "container.json"
        record.write_text(record.read_text().replace('"name":"one"', '"name":"two"'))
    house.ok("ps")
    assert os.listdir(house.root / "names") == ["two" if saved else "one"]


# --- top ------------------------------------------------------------------------------------------------------------


def test_top_shows_the_hosts_view(house: Household) -> None:
    run(house, "busy", "sh", "-c", "sleep 1000 & exec sleep 2000")
    lines = house.ok("top", "busy").splitlines()
    assert lines[0].split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert sorted(line.rpartition("   ")[2].strip() for line in lines[1:]) == ["sleep 1000", "sleep 2000"]
    own = house.ok("top", "busy", "-o", "pid,comm").splitlines()
    pid = house.ok("inspect", "-f", "{{.State.Pid}}", "busy").strip()
    assert own[0].split() == ["PID", "COMMAND"]
    assert [pid, "sleep"] in [line.split() for line in own[1:]]
    assert "PID" in complaint(house, "top", "busy", "-o", "comm")
    house.ok("stop", "-t", "0", "busy")
    assert "is not running" in complaint(house, "top", "busy")


# --- container ------------------------------------------------------------------------------------------------------


def test_prune_removes_what_does_not_run(house: Household) -> None:
    kept = run(house, "kept")
    house.ok("run", "--name", "labelled", "-l", "keep=me", IMAGE, "true")
    gone = house.ok("create", "--name", "gone", IMAGE).strip()
    assert "until" in complaint(house, "container", "prune", "-f", "--filter", "nosuch=1")
    assert "Total reclaimed space: 0B" in house.ok("container", "prune", stdin=b"n\n")
    assert house.ok("container", "prune", "-f", "--filter", "until=1h") == "Total reclaimed space: 0B\n"
    text = house.ok("container", "prune", "--filter", "label!=keep", stdin=b"y\n")
    assert f"Deleted Containers:\n{gone}\n\nTotal reclaimed space: " in text
    text = house.ok("container", "prune", "-f")
    assert "Total reclaimed space: " in text
    assert house.ok("ps", "-aq", "--no-trunc").split() == [kept]


def test_the_noun_has_the_same_verbs(house: Household) -> None:
    house.ok("container", "run", "-d", "--name", "noun", IMAGE, "sleep", "1000")
    assert house.ok("container", "ls", "--format", "{{.Names}}") == "noun\n"
    assert house.ok("container", "inspect", "-f", "{{.Name}}", "noun") == "/noun\n"
    assert "No such container" in complaint(house, "container", "inspect", IMAGE)
    assert house.ok("container", "rm", "-f", "noun") == "noun\n"
    assert "unknown command: utsuwa container nosuch" in complaint(house, "container", "nosuch")
    assert "Usage:  utsuwa container rm [OPTIONS] CONTAINER" in complaint(house, "container", "rm", "--nosuch")


def test_flags_before_the_verb(house: Household, tmp_path: Path) -> None:
    assert house.ok("--debug", "--log-level", "info", "--config", str(tmp_path), "ps", "-q") == ""
    assert "no daemon" in complaint(house, "-H", "tcp://somewhere", "ps")
    assert "unable to parse logging level: loud" in complaint(house, "-l", "loud", "ps")
    assert "unknown flag: --nosuch" in complaint(house, "--nosuch", "ps")
    assert house.ok("-v").replace(" embedded", "") == house.ok("version").replace(" embedded", "")
    assert house.ok("help", "container", "rm") == house.ok("rm", "--help")
    assert house.ok("help").startswith("Usage:  utsuwa COMMAND")


# --- stats ----------------------------------------------------------------------------------------------------------


def test_stats_of_what_works(house: Household) -> None:
    run(house, "busy", "sh", "-c", "while :; do :; done")
    house.ok("create", "--name", "idle", IMAGE)
    rows = house.ok("stats", "--no-stream", "--format", "json").splitlines()
    assert len(rows) == 1
    row = json.loads(rows[0])
    assert row["Name"] == "busy"
    assert row["CPUPerc"].endswith("%") and float(row["CPUPerc"][:-1]) > 5
    used, limit = row["MemUsage"].split(" / ")
    assert used[-3:] in ("KiB", "MiB") and limit.endswith("GiB")
    assert (row["NetIO"], row["PIDs"]) == ("0B / 0B", "1")
    assert "/" in row["BlockIO"]
    both = house.ok("stats", "--no-stream", "--all", "--format", "{{.Name}} {{.PIDs}} {{.CPUPerc}}").splitlines()
    assert both[0] == "idle 0 0.00%" and both[1].startswith("busy 1 ")
    table = house.ok("stats", "--no-stream", "--no-trunc", "busy").splitlines()
    assert re.split(r" {2,}", table[0]) == [
        *("CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS")
    ]
    assert len(table[1].split()[0]) == 64
    assert "No such container: nosuch" in complaint(house, "stats", "nosuch")


def test_stats_go_on_until_nobody_listens(house: Household) -> None:
    run(house, "busy")
    watching = house.begin("stats", "--format", "{{.Name}} {{.MemPerc}}")
    assert watching.stdout is not None
    lines = [watching.stdout.readline() for _ in range(2)]
    assert all(line.startswith(b"busy ") for line in lines)
    watching.stdout.close()
    watching.stdout = None
    assert (watching.communicate(timeout=20)[1], watching.returncode) == (b"", 1)


# --- update ---------------------------------------------------------------------------------------------------------

SHOWN = "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.CpuShares}} {{.HostConfig.PidsLimit}}"


def test_limits_change_at_once_and_for_good(house: Household) -> None:
    run(house, "box")
    assert house.ok("update", "-m", "32m", "--cpu-shares", "512", "--pids-limit", "50", "box") == "box\n"
    assert house.ok("inspect", "-f", SHOWN, "box") == f"{32 << 20} {64 << 20} 512 50\n"
    limit = house.ok("stats", "--no-stream", "--format", "{{.MemUsage}}", "box").split(" / ")[1]
    assert limit == "32MiB\n"
    config = json.loads(next(house.root.glob("containers/*/config.json")).read_text())
    resources = config["linux"]["resources"]
    assert resources["memory"] == {"limit": 32 << 20, "swap": 64 << 20}
    assert (resources["cpu"]["shares"], resources["pids"]["limit"]) == (512, 50)
    assert resources["devices"]  # what was not named stays
    house.ok("stop", "-t", "0", "box")
    house.ok("update", "--memory-swap", "-1", "--pids-limit", "-1", "--cpus", "0.5", "box")
    house.ok("start", "box")
    assert house.ok("inspect", "-f", SHOWN, "box") == f"{32 << 20} -1 512 -1\n"
    assert house.ok("inspect", "-f", "{{.HostConfig.NanoCpus}}", "box") == "500000000\n"


def test_limits_that_can_not_be(house: Household) -> None:
    run(house, "box")
    assert "one or more flags" in complaint(house, "update", "box")
    assert "memory must be at least 6m" in complaint(house, "update", "-m", "1m", "box")
    assert "CPUs" in complaint(house, "update", "--cpus", "10000", "box")
    assert "No such container" in complaint(house, "update", "-m", "10m", "nosuch")
    house.ok("update", "-m", "32m", "box")
    assert "update the memoryswap at the same time" in complaint(house, "update", "-m", "128m", "box")
    house.ok("update", "--cpus", "1", "box")
    assert "Conflicting options" in complaint(house, "update", "--cpu-quota", "5000", "box")
    assert house.ok("inspect", "-f", "{{.HostConfig.Memory}}", "box") == f"{32 << 20}\n"


def test_the_restart_policy_changes(house: Household) -> None:
    run(house, "box")
    house.ok("update", "--restart", "on-failure:3", "box")
    policy = "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}"
    assert house.ok("inspect", "-f", policy, "box") == "on-failure 3\n"
    pid = house.ok("inspect", "-f", "{{.State.Pid}}", "box")
    os.kill(int(pid), signal.SIGKILL)
    until(lambda: house.ok("inspect", "-f", "{{.State.Running}} {{.RestartCount}}", "box") == "true 1\n")
    assert house.ok("inspect", "-f", "{{.State.Pid}}", "box") != pid
    house.ok("run", "-d", "--rm", "--name", "passing", IMAGE, "sleep", "1000")
    assert "because AutoRemove is enabled" in complaint(house, "update", "--restart", "always", "passing")


# --- diff -----------------------------------------------------------------------------------------------------------


def test_diff_tells_what_changed(house: Household) -> None:
    house.ok(
        "run", "--name", "changed", IMAGE, "sh", "-c", "echo x > /new; rm /etc/motd; mkdir /d; echo y >> /etc/passwd"
    )
    lines = house.ok("diff", "changed").splitlines()
    assert sorted(lines) == ["A /d", "A /new", "C /etc", "C /etc/passwd", "D /etc/motd"]
    house.ok("create", "--name", "unchanged", IMAGE)
    assert house.ok("diff", "unchanged") == ""


# --- ps, inspect ----------------------------------------------------------------------------------------------------


def test_ps_filters(house: Household) -> None:
    first = run(house, "first")
    house.ok("create", "--name", "second", "-v", "store:/m", "-l", "a=b", IMAGE)
    house("run", "--name", "third", IMAGE, "sh", "-c", "exit 3")
    house.ok("pause", "first")

    def listed(*filters: str) -> str:
        return " ".join(house.ok("ps", "-a", "--format", "{{.Names}}", *(f"-f{each}" for each in filters)).split())

    assert listed("status=paused") == "first"
    assert listed("status=exited", "status=created") == "third second"
    assert listed("exited=3") == "third"
    assert listed("label=a", "label=a=b") == "second"
    assert listed("label=a", "label=c") == ""
    assert listed(f"ancestor={IMAGE}") == listed("ancestor=nosuch", f"ancestor={IMAGE}:latest") == "third second first"
    assert listed("name=ir", "name=^sec") == "third second first"
    assert listed(f"id={first[:7]}") == "first"
    assert listed("volume=store") == listed("volume=/m") == "second"
    assert listed("network=none") == "third second first"
    assert listed("before=second") == "first" and listed("since=second") == "third"
    assert listed("health=none") == "third second first"
    assert listed("publish=80", "name=first") == ""
    house.ok("tag", IMAGE, "another:name")
    assert listed("ancestor=another:name", "expose=80") == "" and listed("ancestor=another:name") != ""
    assert listed("is-task=false", "isolation=default", "name=first") == "first" and listed("is-task=true") == ""
    house.ok("rmi", "another:name")
    for wrong in ("health=good", "publish=many", "status=odd", "exited=x", "is-task=x", "nosuch=1"):
        assert "invalid filter" in complaint(house, "ps", "-f", wrong)
    assert house.ok("ps", "-lq") == house.ok("ps", "-n", "1", "-q") == house.ok("ps", "-aq", "-f", "name=third")
    assert house.ok("ps", "-n", "2", "--format", "{{.Names}}") == "third\nsecond\n"


def test_sizes(house: Household) -> None:
    house.ok("run", "--name", "box", IMAGE, "sh", "-c", "head -c 5000 /dev/zero > /five; ln /five /same")
    assert " 5kB (virtual " in house.ok("ps", "-as")
    assert house.ok("ps", "-a", "--format", "{{.Size}}").startswith("5kB (virtual ")
    assert house.ok("inspect", "-s", "-f", "{{.SizeRw}}", "box") == "5000\n"
    assert house.ok("inspect", "-f", "{{.SizeRw}}", "box") == "<nil>\n"
    (row,) = json.loads(house.ok("system", "df", "-v", "--format", "json"))["Containers"]
    assert (row["Names"], row["Size"], row["LocalVolumes"]) == ("box", "5kB", "0")
    assert "Build cache usage: 0B" in house.ok("system", "df", "-v")


def test_inspect_tells_all(house: Household) -> None:
    house.ok("volume", "create", "store")
    asked = ("--ulimit", "nofile=10:20", "--tmpfs", "/t:size=1m", "--group-add", "5", "--shm-size", "1m", "-m", "9m")
    seldom = ("--device", "/dev/null:/dev/x:r", "--device-cgroup-rule", "c 1:* rw", "--expose", "80")
    house.ok("create", "--name", "box", *asked, *seldom, IMAGE)
    found = json.loads(house.ok("inspect", "box", IMAGE, "store"))
    assert [found[0]["Name"], found[1]["RepoTags"], found[2]["Name"]] == ["/box", [f"{IMAGE}:latest"], "store"]
    host = found[0]["HostConfig"]
    assert host["Ulimits"] == [{"Name": "nofile", "Hard": 20, "Soft": 10}]
    assert (host["Tmpfs"], host["GroupAdd"], host["PidMode"]) == ({"/t": "nosuid,nodev,noexec,size=1m"}, ["5"], "")
    assert "/proc/kcore" in host["MaskedPaths"]
    assert (host["ShmSize"], host["MemorySwap"]) == (1 << 20, 18 << 20)
    assert host["Devices"] == [
        {"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "r"},
    ]
    assert (host["DeviceCgroupRules"], found[0]["Config"]["ExposedPorts"]) == (["c 1:* rw"], {"80/tcp": {}})
    assert found[0]["GraphDriver"]["Data"]["UpperDir"].startswith(str(house.root))
    assert "No such volume: box" in complaint(house, "inspect", "--type", "volume", "box")
    assert 'unknown type: "odd"' in complaint(house, "inspect", "--type", "odd", "box")
    assert house.ok("inspect", "-f", "{{.Driver}} {{.IPAM.Options}}", "host", "--type", "network") == "host map[]\n"
    known = house.ok(
        "info", "-f", "{{.OSType}} {{.Swarm.LocalNodeState}} {{.Runtimes.urun.path}} {{.LiveRestoreEnabled}}"
    )
    assert known == "linux inactive urun true\n"
    house.ok("volume", "rm", "store")

"""The contract of exec: another process in a running container."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.contract.oci import Bundle, Runtime, cgroups_of, eventually
from tests.needs import cgroups, needs


@pytest.fixture
def running(oci: Runtime, bundle: Bundle) -> Runtime:
    """A running container."""
    oci.running(bundle.sleep())
    return oci


@cgroups
def test_output_and_exit_status(running: Runtime) -> None:
    done = running("exec", running.id, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")


def test_standard_input(running: Runtime) -> None:
    assert running("exec", running.id, "cat", input="through\n").stdout == "through\n"


@cgroups
def test_it_is_inside(running: Runtime) -> None:
    pid = running.state()["pid"]
    names = ("pid", "net", "ipc", "uts", "mnt")
    out = running.ok(
        "exec", running.id, "sh", "-c", f"for n in {' '.join(names)}; do readlink /proc/self/ns/$n; done; ls /"
    )
    assert out.split()[:5] == [str(Path(f"/proc/{pid}/ns/{name}").readlink()) for name in names]
    assert "bin" in out.split()


@needs("cgroup1")
def test_it_is_in_the_containers_cgroup(running: Runtime) -> None:
    of_init = Path(f"/proc/{running.state()['pid']}/cgroup").read_text()
    inside = running.ok("exec", running.id, "cat", "/proc/self/cgroup")
    assert [line.split(":")[1:] for line in inside.splitlines()] == [
        line.split(":")[1:] for line in of_init.splitlines()
    ]


def test_environment_is_the_containers_and_more(running: Runtime) -> None:
    out = running.ok("exec", "-e", "A=1", "-e", "B=2", running.id, "sh", "-c", 'echo "$A $B $TERM $HOME"')
    assert out == "1 2 xterm /root\n"


def test_working_directory(running: Runtime) -> None:
    assert running.ok("exec", "--cwd", "/tmp", running.id, "pwd") == "/tmp\n"


def test_user_and_groups(running: Runtime) -> None:
    ids = ["sh", "-c", "id -u; id -g"]
    assert running.ok("exec", "-u", "1000:1001", running.id, *ids).split() == ["1000", "1001"]
    assert running.ok("exec", "--user", "1000", running.id, *ids).split() == ["1000", "0"]
    assert "5" in running.ok("exec", "-u", "1000:1001", "-g", "5", running.id, "id", "-G").split()


def test_a_user_by_name_is_refused(running: Runtime) -> None:
    assert running("exec", "--user", "root", running.id, "true").returncode != 0


def test_capabilities_are_the_containers_and_more(running: Runtime) -> None:
    def effective(*options: str) -> int:
        out = running.ok("exec", *options, running.id, "grep", "CapEff", "/proc/self/status")
        return int(out.split()[1], 16)

    before = effective()
    assert before == 1 << 29 | 1 << 5 | 1 << 10
    assert effective("--cap", "CAP_CHOWN") == before | 1


def test_no_new_privileges_is_the_containers(running: Runtime) -> None:
    assert running.ok("exec", running.id, "grep", "NoNewPrivs", "/proc/self/status").split()[1] == "1"


def test_no_new_privileges_by_flag(oci: Runtime, bundle: Bundle) -> None:
    bundle.process["noNewPrivileges"] = False
    oci.running(bundle.sleep())
    out = oci.ok("exec", "--no-new-privs", oci.id, "grep", "NoNewPrivs", "/proc/self/status")
    assert out.split()[1] == "1"


def test_options_end_at_the_id(running: Runtime) -> None:
    assert running.ok("exec", running.id, "echo", "-e", "--cwd", "x").split() in (["--cwd", "x"], ["-e", "--cwd", "x"])


def test_a_process_from_a_file(running: Runtime) -> None:
    process = {
        "user": {"uid": 1000, "gid": 1000},
        "args": ["sh", "-c", "id -u; pwd; echo $X"],
        "env": ["PATH=/bin", "X=from file"],
        "cwd": "/tmp",
    }
    path = running.directory / "process.json"
    path.write_text(json.dumps(process))
    assert running.ok("exec", "--process", str(path), running.id) == "1000\n/tmp\nfrom file\n"


def test_detached_with_a_pid_file(running: Runtime) -> None:
    log = running.directory / "exec.log"
    with log.open("w") as out:
        subprocess.run(
            [*running.argv, "exec", "--detach", "--pid-file", str(running.directory / "exec.pid"), running.id]
            + ["sh", "-c", "echo up; sleep 1000"],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=True, timeout=30,
        )  # fmt: skip
    pid = int((running.directory / "exec.pid").read_text())
    assert pid in json.loads(running.ok("ps", "--format", "json", running.id))
    eventually(lambda: log.read_text() == "up\n")


def test_failures_of_its_own_are_255(running: Runtime) -> None:
    said = running.fails("exec", running.id, "no-such-program", code=255)
    assert "executable file" in said and "not found in $PATH" in said
    said = running.fails("exec", running.id, "/no-such-program", code=255)
    assert "no such file or directory" in said.lower()
    assert running("exec", "--cwd", "/nowhere", running.id, "true").returncode == 255
    assert "must be an absolute path" in running.fails("exec", "--cwd", "tmp", running.id, "true", code=255)


def test_a_container_must_exist(oci: Runtime) -> None:
    said = oci.fails("exec", "utsuwa-test-nobody", "true", code=255 if oci.name != "crun" else 1)
    assert oci.name == "crun" or "does not exist" in said


@cgroups
def test_not_in_a_stopped_container(running: Runtime) -> None:
    running.stop()
    said = running.fails("exec", running.id, "true", code=255)
    assert running.name == "crun" or "cannot exec in a stopped container" in said


@cgroups
def test_in_a_created_container(oci: Runtime, bundle: Bundle) -> None:
    oci.create(bundle.sleep())
    assert oci.ok("exec", oci.id, "echo", "early") == "early\n"


@cgroups
def test_not_in_a_paused_container(running: Runtime) -> None:
    running.ok("pause", running.id)
    try:
        said = running.fails("exec", running.id, "true", code=255)
        assert "paused" in said
    finally:
        running.ok("resume", running.id)


def test_seccomp_holds_for_it_too(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
    }
    oci.running(bundle.sleep())
    done = oci("exec", oci.id, "mkdir", "/tmp/x")
    assert done.returncode == 1
    assert "not permitted" in done.stderr


@cgroups
@needs("cgroup2")
def test_in_a_cgroup_namespace(oci: Runtime, bundle: Bundle) -> None:
    """Where the hierarchy is mounted with nsdelegate, nobody in that namespace may bring a process in from outside."""
    bundle.linux["namespaces"].append({"type": "cgroup"})
    oci.running(bundle.sleep())
    assert oci.ok("exec", oci.id, "cat", "/proc/self/cgroup").strip() == "0::/"


@cgroups
@needs("cgroup2")
@pytest.mark.parametrize("oci", ["urun"], indirect=True)
def test_where_the_first_process_has_gone(oci: Runtime, bundle: Bundle) -> None:
    """runc's exec.bats (5089): the first process has left its cgroup, and somebody has removed that."""
    elsewhere = Path(f"/sys/fs/cgroup/{oci.id}-elsewhere")
    elsewhere.mkdir()
    try:
        oci.running(bundle.sleep())
        (own,) = cgroups_of(oci.id)
        for pid in Path(own, "cgroup.procs").read_text().split():
            (elsewhere / "cgroup.procs").write_text(pid)
        os.rmdir(own)
        assert oci.ok("exec", oci.id, "cat", "/proc/self/cgroup").strip() == f"0::/{elsewhere.name}"
        oci.ok("delete", "--force", oci.id)
    finally:
        oci.clean()
        eventually(lambda: not (elsewhere / "cgroup.procs").read_text(), "the end of who was there")
        elsewhere.rmdir()


@cgroups
def test_in_a_user_namespace(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["namespaces"].append({"type": "user"})
    mapping = [{"containerID": 0, "hostID": 100000, "size": 2000}]
    bundle.linux["uidMappings"] = bundle.linux["gidMappings"] = mapping
    for parent in (bundle.path, *bundle.path.parents):
        if str(parent).startswith("/tmp/pytest-of"):
            parent.chmod(0o755)
    oci.running(bundle.sleep())
    assert oci.ok("exec", "-u", "1000:1000", oci.id, "sh", "-c", "id -u; cat /proc/self/uid_map").split() == [
        "1000", "0", "100000", "2000",
    ]  # fmt: skip


@cgroups
@needs("cgroup2")
def test_joins_the_first_process_where_the_container_has_no_room_itself(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["namespaces"].append({"type": "cgroup"})
    bundle.config["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"})
    moved = "cd /sys/fs/cgroup; mkdir first; echo 0 >first/cgroup.procs; echo +pids >cgroup.subtree_control"
    bundle.linux["cgroupsPath"] = f"/{oci.id}"
    oci.running(bundle.shell(f"trap 'exit 3' TERM; {moved}; echo ready; sleep 1000 & wait"))
    assert oci.ok("exec", oci.id, "cat", "/proc/self/cgroup").strip() == "0::/first"
    if oci.name == "urun":
        said = oci.fails("exec", "--cgroup", "/", oci.id, "true", code=255)
        assert " adding pid " in said and " to cgroups /" in said and "device or resource busy" in said

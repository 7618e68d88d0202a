"""Corners of config.json that engines and their users rely on, found by running the suites of others."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.contract.oci import Bundle, Runtime
from tests.contract.test_oci_terminal import read_all

# What filters refuse whose authors knew older kernels, or can't look at arguments behind pointers.
NEWER_CALLS = ["close_range", "openat2", "clone3", "faccessat2", "fchmodat2", "open_tree", "mount_setattr", "fsopen"]


def test_the_working_directory_may_be_closed_to_the_user(oci: Runtime, bundle: Bundle) -> None:
    (bundle.rootfs / "root").chmod(0o700)
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["cwd"] = "/root"
    assert oci.inside(bundle, "id -u; readlink /proc/self/cwd") == "1000\n/root\n"


def test_a_capability_may_be_what_makes_a_program_executable(oci: Runtime, bundle: Bundle) -> None:
    program = bundle.rootfs / "root/echo"
    program.write_bytes((bundle.rootfs / "bin/busybox").read_bytes())
    program.chmod(0o744)
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["args"] = ["/root/echo", "run"]
    assert oci.run(bundle).returncode != 0
    for kind in ("bounding", "permitted", "inheritable", "effective", "ambient"):
        bundle.process["capabilities"][kind] = ["CAP_DAC_OVERRIDE"]
    done = oci.run(bundle)
    assert (done.returncode, done.stdout) == (0, "run\n"), done.stderr


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_a_filter_need_not_know_newer_system_calls(oci: Runtime, bundle: Bundle, no_new_privileges: bool) -> None:
    bundle.process["noNewPrivileges"] = no_new_privileges
    bundle.process["capabilities"] = {key: ["CAP_SYS_ADMIN"] for key in ("bounding", "effective", "permitted")}
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": NEWER_CALLS, "action": "SCMP_ACT_ERRNO", "errnoRet": 38}],
    }
    assert oci.inside(bundle, "echo run") == "run\n"


def test_a_hook_inside_runs_under_such_a_filter(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}],
    }
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "echo hook > /tmp/said"]}]}
    assert oci.inside(bundle, "cat /tmp/said") == "hook\n"


def test_a_hook_inside_inherits_the_environment_and_the_home(oci: Runtime, bundle: Bundle) -> None:
    bundle.process["env"] += ["ONE=two"]
    bundle.config["hooks"] = {
        "startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", 'echo "$ONE $HOME" > /tmp/said']}]
    }
    assert oci.inside(bundle, "cat /tmp/said") == "two /root\n"


def test_a_hook_that_a_filter_kills_is_told_from_one_that_fails(oci: Runtime, bundle: Bundle) -> None:
    bundle.process["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL"}],
    }
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "exec mkdir /tmp/x"]}]}
    done = oci.run(bundle.shell("echo not reached"))
    assert (done.returncode != 0, done.stdout) == (True, "")
    assert "hook" in done.stderr and "bad system call" in done.stderr


def test_a_path_is_masked_once_however_often_it_is_listed(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["maskedPaths"] = ["/proc/keys", "/proc/keys", "/proc//acpi", "/proc/acpi"]
    out = oci.inside(bundle, "grep -c ' /proc/keys ' /proc/mounts; grep -c ' /proc/acpi ' /proc/mounts || true")
    assert set(out.split()) <= {"0", "1"}


def _on_a_terminal(words: list[str]) -> str:
    """What a command writes to a pipe while a terminal is its standard input, and controls it."""
    master, slave = pty.openpty()
    try:
        done = subprocess.run(
            ["setsid", "--ctty", *words], stdin=slave, stdout=subprocess.PIPE, text=False, timeout=60, check=False
        )
    finally:
        os.close(slave)
        os.close(master)
    return done.stdout.decode()


def test_a_foreground_terminal_leaves_carriage_returns_to_ours(oci: Runtime, bundle: Bundle) -> None:
    bundle.process["terminal"] = True
    bundle.shell("echo one; echo two").write()
    assert _on_a_terminal([*oci.argv, "run", "--bundle", str(bundle.path), oci.id]) == "one\ntwo\n"


def test_what_a_hook_says_before_it_fails_is_seen(oci: Runtime, bundle: Bundle) -> None:
    bundle.process["terminal"] = True
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "echo alas >&2; exit 3"]}]}
    bundle.write()
    master, slave = pty.openpty()
    words = [*oci.argv, "run", "--bundle", str(bundle.path), oci.id]
    done = subprocess.run(
        ["setsid", "--ctty", *words], stdin=slave, stdout=slave, stderr=slave, timeout=60, check=False
    )
    os.close(slave)
    said = read_all(master)
    os.close(master)
    assert done.returncode != 0
    assert "alas" in said and "hook" in said


def test_nothing_of_the_preparation_stays_open_in_a_created_container(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["maskedPaths"] = ["/proc/keys", "/proc/acpi"]
    oci.create(bundle.sleep())
    held = Path(f"/proc/{oci.state()['pid']}/fd")
    links = {os.readlink(held / number) for number in os.listdir(held)}
    assert not {link for link in links if link.startswith("/proc/")}, links


# --- bind mounts ----------------------------------------------------------------------------------------------------


def _in_the_container(oci: Runtime, bundle: Bundle, attributes: str, options: list[str]) -> set[str]:
    """The attributes that a bind of a mount with ``attributes`` has in the container; in a mount namespace of ours."""
    source = bundle.path / "source"
    source.mkdir(exist_ok=True)
    bundle.config["mounts"].append({"destination": "/data", "source": str(source), "options": options})
    bundle.shell("grep ' /data ' /proc/mounts | cut -d ' ' -f 4").write()
    prepare = f'mount -t tmpfs none {source} && mount -o remount,bind,{attributes} {source} && exec "$@"'
    words = ["unshare", "-m", "sh", "-c", prepare, "-", *oci.argv, "run", "--bundle", str(bundle.path), oci.id]
    done = subprocess.run(words, stdin=subprocess.PIPE, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.strip().split(",")) & {"rw", "ro", "nosuid", "nodev", "noexec", "noatime", "relatime"}


def _in_a_user_namespace(bundle: Bundle) -> None:
    mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    bundle.linux["namespaces"].append({"type": "user"})
    bundle.linux["uidMappings"] = bundle.linux["gidMappings"] = mapping
    subprocess.run(["chown", "-R", "-h", "100000:100000", str(bundle.rootfs)], check=True)
    for parent in (bundle.path, *bundle.path.parents):
        if str(parent).startswith("/tmp/pytest-of"):
            parent.chmod(0o755)


SOURCE = "nosuid,nodev,noexec,noatime"


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], {"rw", "nosuid", "nodev", "noexec", "noatime"}),
        (["rprivate"], {"rw", "nosuid", "nodev", "noexec", "noatime"}),
        (["ro"], {"ro", "noatime"}),
        (["rw", "nodev"], {"rw", "nodev", "noatime"}),
        (["exec", "atime"], {"rw", "noatime"}),
        (["relatime"], {"rw", "relatime"}),
    ],
)
def test_an_attribute_that_is_named_makes_a_bind_forget_its_source(
    oci: Runtime, bundle: Bundle, options: list[str], found: set[str]
) -> None:
    assert _in_the_container(oci, bundle, SOURCE, ["bind", *options]) == found


def test_a_user_namespace_keeps_what_is_locked(oci: Runtime, bundle: Bundle) -> None:
    _in_a_user_namespace(bundle)
    found = _in_the_container(oci, bundle, SOURCE, ["bind", "ro"])
    assert found == {"ro", "nosuid", "nodev", "noexec", "noatime"}


def test_a_user_namespace_may_not_ask_for_what_is_locked(oci: Runtime, bundle: Bundle) -> None:
    _in_a_user_namespace(bundle)
    with pytest.raises(AssertionError, match="not permitted"):
        _in_the_container(oci, bundle, "ro", ["bind", "rw"])


@pytest.mark.parametrize("owner", [0, 1234])
def test_binds_reach_what_the_user_namespace_may_not(oci: Runtime, bundle: Bundle, owner: int) -> None:
    closed = bundle.path / "closed"
    for name in ("one", "two"):
        (closed / name).mkdir(parents=True)
        (closed / name / "file").write_text(f"{name}\n")
        target = {"destination": f"/data/{name}", "source": str(closed / name), "options": ["rbind", "rprivate"]}
        bundle.config["mounts"].append(target)
    closed.chmod(0o700)
    os.chown(closed, owner, owner)
    _in_a_user_namespace(bundle)
    assert oci.inside(bundle, "cat /data/one/file /data/two/file") == "one\ntwo\n"


def test_a_new_sysfs_of_a_user_namespace_is_told_from_the_hosts(oci: Runtime, bundle: Bundle) -> None:
    _in_a_user_namespace(bundle)
    assert oci.inside(bundle, "grep ' /sys ' /proc/mounts | cut -d ' ' -f 1,3") == "sysfs sysfs\n"


@pytest.mark.parametrize("signal", ["TERM", "INT"])
def test_a_created_container_can_be_ended_by_a_signal(oci: Runtime, bundle: Bundle, signal: str) -> None:
    if oci.name == "crun":
        pytest.skip("crun 1.8.1 waits as an init that handles nothing: twenty seconds would show that it goes on")
    oci.create(bundle.sleep())
    oci.ok("kill", oci.id, signal)
    oci.until("stopped")
    oci.ok("delete", oci.id)


def test_the_wait_for_start_leaves_no_signal_otherwise(oci: Runtime, bundle: Bundle) -> None:
    bundle.process["args"] = ["grep", "-E", "SigCgt|SigIgn|SigBlk", "/proc/self/status"]
    oci.create(bundle)
    oci.ok("start", oci.id)
    oci.until("stopped")
    masks = dict(line.split(":\t") for line in oci.output().splitlines())
    assert {name: int(mask, 16) & 0x7FFFFFFF for name, mask in masks.items()} == dict.fromkeys(masks, 0)
    assert set(masks) == {"SigCgt", "SigIgn", "SigBlk"}


def test_the_null_device_as_a_stream_is_the_containers_own(oci: Runtime, bundle: Bundle) -> None:
    """Or its root could change the mode of the host's node."""
    script = "stat -L -c %d:%i /proc/self/fd/0 /dev/null"
    done = oci.run(bundle.shell(script), "--detach", stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    stream, node = done.stdout.split()
    assert stream == node

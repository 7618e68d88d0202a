"""The contract of config.json: what a program in the container sees of what was asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.oci import Bundle, Runtime, cgroups_of, eventually
from tests.needs import cgroups, needs

# --- process --------------------------------------------------------------------------------------------------------


def test_arguments_environment_and_directory(oci: Runtime, bundle: Bundle) -> None:
    bundle.process["env"] += ["A=1", "B=two words"]
    bundle.process["cwd"] = "/tmp"
    out = oci.inside(bundle, 'echo "$A|$B|$PWD"')
    assert out == "1|two words|/tmp\n"


def test_a_missing_working_directory_is_made(oci: Runtime, bundle: Bundle) -> None:
    bundle.process["cwd"] = "/made/for/me"
    assert oci.inside(bundle, "pwd") == "/made/for/me\n"


def test_user_group_and_further_groups(oci: Runtime, bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [5, 7], "umask": 0o027}
    out = oci.inside(bundle, "id -u; id -g; id -G; umask")
    uid, gid, groups, umask = out.splitlines()
    assert (uid, gid, umask) == ("1000", "1000", "0027")
    assert sorted(groups.split()) == ["1000", "5", "7"]


def test_home_comes_from_the_containers_passwd(oci: Runtime, bundle: Bundle) -> None:
    assert oci.inside(bundle, "echo $HOME") == "/root\n"


def test_capabilities(oci: Runtime, bundle: Bundle) -> None:
    masks = dict(line.split(":\t") for line in oci.inside(bundle, "grep ^Cap /proc/self/status").splitlines())
    expected = f"{1 << 29 | 1 << 5 | 1 << 10:016x}"
    assert (masks["CapPrm"], masks["CapEff"], masks["CapBnd"]) == (expected,) * 3
    assert int(masks["CapAmb"], 16) == 0


def test_ambient_capabilities_reach_an_ordinary_user(oci: Runtime, bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    for name in ("inheritable", "ambient"):
        bundle.process["capabilities"][name] = ["CAP_NET_BIND_SERVICE"]
    out = oci.inside(bundle, "grep CapEff /proc/self/status")
    assert int(out.split()[1], 16) & 1 << 10


def test_without_capabilities_there_are_none(oci: Runtime, bundle: Bundle) -> None:
    bundle.process["capabilities"] = {}
    masks = dict(line.split(":\t") for line in oci.inside(bundle, "grep ^Cap /proc/self/status").splitlines())
    assert {int(mask, 16) for mask in masks.values()} == {0}


@pytest.mark.parametrize("asked", [True, False])
def test_no_new_privileges(oci: Runtime, bundle: Bundle, asked: bool) -> None:
    bundle.process["noNewPrivileges"] = asked
    assert oci.inside(bundle, "grep NoNewPrivs /proc/self/status").split()[1] == str(int(asked))


def test_resource_limits(oci: Runtime, bundle: Bundle) -> None:
    bundle.process["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
    ]
    assert oci.inside(bundle, "ulimit -Sn; ulimit -Hn; ulimit -c").split() == ["100", "200", "0"]


def test_oom_score_adj(oci: Runtime, bundle: Bundle) -> None:
    bundle.process["oomScoreAdj"] = 500
    assert oci.inside(bundle, "cat /proc/self/oom_score_adj") == "500\n"


def test_signals_are_as_a_new_process_expects_them(oci: Runtime, bundle: Bundle) -> None:
    bundle.process["args"] = ["grep", "-E", "SigIgn|SigBlk", "/proc/self/status"]
    out = oci.run(bundle).stdout
    assert [int(line.split()[1], 16) for line in out.splitlines()] == [0, 0]


# --- namespaces -----------------------------------------------------------------------------------------------------


@cgroups
def test_namespaces_are_new(oci: Runtime, bundle: Bundle) -> None:
    out = oci.inside(bundle, "for n in pid net ipc uts mnt; do readlink /proc/self/ns/$n; done; echo $$; hostname")
    *links, pid, hostname = out.split()
    ours = [Path(f"/proc/self/ns/{name}").readlink().name for name in ("pid", "net", "ipc", "uts", "mnt")]
    assert not set(links) & set(ours)
    assert (pid, hostname) == ("1", "inside")


def test_namespaces_that_are_not_named_are_shared(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["namespaces"] = [{"type": "mount"}]
    del bundle.config["hostname"]
    out = oci.inside(bundle, "for n in pid net ipc uts; do readlink /proc/self/ns/$n; done")
    ours = [str(Path(f"/proc/self/ns/{name}").readlink()) for name in ("pid", "net", "ipc", "uts")]
    assert out.split() == ours


@cgroups
def test_namespaces_are_joined_by_path(oci: Runtime, bundle: Bundle) -> None:
    other = oci.running(bundle.sleep())
    pid = oci.state(other)["pid"]
    link = Path(f"/proc/{pid}/ns/net").readlink()
    for namespace in bundle.linux["namespaces"]:
        if namespace["type"] == "network":
            namespace["path"] = f"/proc/{pid}/ns/net"
    bundle.shell("readlink /proc/self/ns/net").write()
    second = f"{oci.id}-b"
    assert oci.ok("run", "--bundle", str(bundle.path), second).strip() == str(link)


def test_a_path_to_another_kind_of_namespace_is_refused(oci: Runtime, bundle: Bundle) -> None:
    for namespace in bundle.linux["namespaces"]:
        if namespace["type"] == "network":
            namespace["path"] = "/proc/self/ns/ipc"
    assert oci.run(bundle).returncode == 1


def test_the_loopback_interface_is_up(oci: Runtime, bundle: Bundle) -> None:
    assert "UP" in oci.inside(bundle, "ip link show lo")


@cgroups
def test_a_user_namespace_maps_ids(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["namespaces"].append({"type": "user"})
    mapping = [{"containerID": 0, "hostID": 100000, "size": 1000}]
    bundle.linux["uidMappings"] = bundle.linux["gidMappings"] = mapping
    bundle.path.parent.chmod(0o755)
    for parent in bundle.path.parents:
        if str(parent).startswith("/tmp/pytest-of"):
            parent.chmod(0o755)
    out = oci.inside(bundle, "id -u; cat /proc/self/uid_map /proc/self/gid_map")
    uid, *maps = out.splitlines()
    assert uid == "0"
    assert [line.split() for line in maps] == [["0", "100000", "1000"]] * 2


def test_sysctls_of_the_containers_namespaces(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.shmmax": "4194304"}
    assert oci.inside(bundle, "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax").split() == ["1", "4194304"]


# --- file systems ---------------------------------------------------------------------------------------------------


def test_a_root_can_be_read_only(oci: Runtime, bundle: Bundle) -> None:
    bundle.config["root"]["readonly"] = True
    assert oci.inside(bundle, "touch /x 2>/dev/null || echo refused") == "refused\n"


def test_the_root_is_all_there_is(oci: Runtime, bundle: Bundle) -> None:
    (bundle.path / "outside").touch()
    out = oci.inside(bundle, "ls /; ls /..; cd /; cd ../../..; pwd; cut -d ' ' -f 5 /proc/self/mountinfo")
    assert "outside" not in out
    assert str(bundle.path) not in out


def test_mounts_with_options(oci: Runtime, bundle: Bundle) -> None:
    bundle.config["mounts"].append(
        {
            "destination": "/mnt/deep",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "nodev", "noexec", "ro", "size=1m", "mode=0700"],
        }
    )
    out = oci.inside(bundle, "grep /mnt/deep /proc/mounts; stat -c %a /mnt/deep")
    line, mode = out.splitlines()
    assert line.split()[2] == "tmpfs"
    assert {"ro", "nosuid", "nodev", "noexec", "size=1024k"} <= set(line.split()[3].split(","))
    assert mode == "700"


def test_bind_mounts_of_files_and_directories(oci: Runtime, bundle: Bundle) -> None:
    (oci.directory / "file").write_text("a file\n")
    (oci.directory / "tree").mkdir()
    for source, destination, mode in (("file", "/etc/file", "ro"), ("tree", "/data", "rw")):
        bundle.config["mounts"].append(
            {
                "destination": destination,
                "type": "bind",
                "source": str(oci.directory / source),
                "options": ["rbind", mode],
            }
        )
    out = oci.inside(bundle, "cat /etc/file; echo no > /etc/file || echo refused; echo yes > /data/out")
    assert out == "a file\nrefused\n"
    assert (oci.directory / "tree/out").read_text() == "yes\n"


def test_a_relative_bind_source_belongs_to_the_bundle(oci: Runtime, bundle: Bundle) -> None:
    (bundle.path / "data").mkdir()
    (bundle.path / "data/x").write_text("here\n")
    bundle.config["mounts"].append(
        {"destination": "/data", "type": "bind", "source": "data", "options": ["bind", "ro"]}
    )
    assert oci.inside(bundle, "cat /data/x") == "here\n"


def test_symbolic_links_of_the_root_lead_nowhere_else(oci: Runtime, bundle: Bundle) -> None:
    outside = oci.directory / "outside"
    outside.mkdir()
    (bundle.rootfs / "link").symlink_to(outside)
    bundle.config["mounts"].append({"destination": "/link/deep", "type": "tmpfs", "source": "tmpfs"})
    oci.run(bundle)
    assert list(outside.iterdir()) == []


def test_paths_are_masked_and_read_only(oci: Runtime, bundle: Bundle) -> None:
    (bundle.rootfs / "secret").mkdir()
    (bundle.rootfs / "secret/key").write_text("key")
    (bundle.rootfs / "secret.txt").write_text("key")
    (bundle.rootfs / "fixed").mkdir()
    bundle.linux["maskedPaths"] = ["/secret", "/secret.txt", "/not/there"]
    bundle.linux["readonlyPaths"] = ["/fixed", "/proc/sys", "/not/there"]
    out = oci.inside(
        bundle,
        "ls -A /secret; cat /secret.txt; touch /fixed/x 2>/dev/null || echo refused; [ -w /proc/sys ] || echo ro",
    )
    assert out.splitlines()[0] == "refused"
    assert not (bundle.rootfs / "fixed/x").exists()


def test_default_devices_and_links(oci: Runtime, bundle: Bundle) -> None:
    out = oci.inside(
        bundle,
        "for d in null zero full random urandom tty; do stat -c '%n %t %T %a' /dev/$d; done;"
        "for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done; "
        "echo x > /dev/null; head -c 2 /dev/zero | od -An -tx1",
    )
    lines = out.splitlines()
    assert lines[0] == "/dev/null 1 3 666"
    assert [line.split()[1:3] for line in lines[:6]] == [
        ["1", "3"], ["1", "5"], ["1", "7"], ["1", "8"], ["1", "9"], ["5", "0"],
    ]  # fmt: skip
    assert lines[6:10] == ["/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"]
    assert lines[10].endswith("pts/ptmx")
    assert lines[11].split() == ["00", "00"]


@cgroups
def test_devices_that_are_asked_for(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["devices"] = [
        {"path": "/dev/mine/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o600, "uid": 7, "gid": 8}
    ]
    assert oci.inside(bundle, "stat -c '%t %T %a %u %g' /dev/mine/kmsg") == "1 b 600 7 8\n"


@cgroups
@needs("cgroup1")
def test_device_access_is_denied_by_default_and_allowed_by_rule(oci: Runtime, bundle: Bundle) -> None:
    bundle.process["capabilities"] = {name: ["CAP_MKNOD"] for name in ("bounding", "effective", "permitted")}
    bundle.linux["resources"] = {
        "devices": [
            {"allow": False, "access": "rwm"},
            {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "rw"},
        ]
    }
    out = oci.inside(
        bundle,
        "mknod /tmp/kmsg c 1 11 && : > /tmp/kmsg && echo allowed;"
        "mknod /tmp/mem c 1 1 && (: < /tmp/mem) 2>/dev/null || echo denied; : < /dev/zero && echo default",
    )
    assert out.split() == ["allowed", "denied", "default"]


def test_seccomp_refuses_system_calls(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}],
    }
    out = oci.inside(bundle, "mkdir /tmp/x 2>&1; grep -E '^Seccomp:' /proc/self/status; true")
    assert "not supported" in out.lower()
    assert out.split()[-1] == "2"


@pytest.mark.parametrize("no_new_privileges", [True, False])
@pytest.mark.parametrize("oci", ["urun", "crun"], indirect=True)
def test_seccomp_may_refuse_what_the_start_takes(oci: Runtime, bundle: Bundle, no_new_privileges: bool) -> None:
    """Where the process is is looked at with getcwd(2), which runc does under a filter that is loaded before."""
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["getcwd", "chdir"], "action": "SCMP_ACT_ERRNO"}],
    }
    bundle.process.update(noNewPrivileges=no_new_privileges, cwd="/tmp", user={"uid": 1000, "gid": 1000})
    assert oci.inside(bundle, "readlink /proc/self/cwd; cd / 2>/dev/null || echo no").split() == ["/tmp", "no"]
    oci.clean()
    oci.running(bundle.sleep())
    assert oci.ok("exec", "--cwd", "/etc", oci.id, "readlink", "/proc/self/cwd") == "/etc\n"


def test_what_cannot_be_done_is_not_ignored(oci: Runtime, bundle: Bundle) -> None:
    bundle.config["mounts"].append({"destination": "/x", "type": "no-such-fs", "source": "none"})
    assert oci.run(bundle).returncode == 1


# --- cgroups --------------------------------------------------------------------------------------------------------


def _cgroup1(oci: Runtime, controller: str, name: str) -> str:
    (directory,) = [path for path in cgroups_of(oci.id) if path.startswith(f"/sys/fs/cgroup/{controller}/")]
    return Path(directory, name).read_text().strip()


@needs("cgroup1")
def test_limits_on_cgroup_v1(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] |= {
        "memory": {"limit": 64 << 20, "swap": 64 << 20},
        "cpu": {"shares": 512, "quota": 20000, "period": 100000},
        "pids": {"limit": 20},
    }
    oci.running(bundle.sleep())
    assert _cgroup1(oci, "memory", "memory.limit_in_bytes") == str(64 << 20)
    assert _cgroup1(oci, "memory", "memory.memsw.limit_in_bytes") == str(64 << 20)
    assert _cgroup1(oci, "cpu", "cpu.shares") == "512"
    assert _cgroup1(oci, "cpu", "cpu.cfs_quota_us") == "20000"
    assert _cgroup1(oci, "pids", "pids.max") == "20"
    assert str(oci.state()["pid"]) in _cgroup1(oci, "memory", "cgroup.procs").split()


@cgroups
@needs("cgroup1")
def test_an_absolute_cgroups_path(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["cgroupsPath"] = f"/utsuwa-test-parent-{oci.id}/{oci.id}"
    oci.running(bundle.sleep())
    pid = oci.state()["pid"]
    places = Path(f"/proc/{pid}/cgroup").read_text()
    assert f":memory:/utsuwa-test-parent-{oci.id}/{oci.id}" in places
    oci.ok("delete", "--force", oci.id)
    assert cgroups_of(oci.id) == []
    for parent in cgroups_of(f"utsuwa-test-parent-{oci.id}"):
        Path(parent).rmdir()


@cgroups
@needs("cgroup2")
def test_limits_on_cgroup_v2(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] |= {
        "memory": {"limit": 64 << 20},
        "cpu": {"quota": 20000, "period": 100000},
        "pids": {"limit": 20},
    }
    oci.running(bundle.sleep())
    (directory,) = cgroups_of(oci.id)
    read = {name: Path(directory, name).read_text().strip() for name in ("memory.max", "cpu.max", "pids.max")}
    assert read == {"memory.max": str(64 << 20), "cpu.max": "20000 100000", "pids.max": "20"}


@cgroups
def test_a_fork_bomb_is_contained_and_removed(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"]["pids"] = {"limit": 16}
    oci.create(bundle.shell("i=0; while [ $i -lt 50 ]; do sleep 1000 & i=$((i+1)); done; echo unreachable"))
    oci.ok("start", oci.id)
    eventually(lambda: "can't fork" in oci.output() or oci.status() == "stopped")
    assert "unreachable" not in oci.output()
    oci.ok("delete", "--force", oci.id)


@cgroups
def test_the_containers_own_cgroup_is_what_a_cgroup_mount_shows(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["namespaces"].append({"type": "cgroup"})
    bundle.config["mounts"].append(
        {
            "destination": "/sys/fs/cgroup",
            "type": "cgroup",
            "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "ro"],
        }
    )
    out = oci.inside(
        bundle, "cut -d : -f 3 /proc/self/cgroup | sort -u; ls /sys/fs/cgroup; touch /sys/fs/cgroup/x || echo ro"
    )
    lines = out.splitlines()
    assert lines[0] == "/"
    assert lines[-1] == "ro"

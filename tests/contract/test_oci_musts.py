"""What the specification says MUST be an error is one: `create` fails with a word about it, and leaves nothing."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from tests.contract.oci import Bundle, Runtime

MAPPED = [{"containerID": 0, "hostID": 100000, "size": 65536}]
USER = {"type": "user"}
BIND = {"destination": "/data", "source": "/tmp", "options": ["bind"]}

# path of a property -> its value, and a word that must be said of it
MUSTS: dict[str, tuple[dict[str, Any], str]] = {
    "no_version": ({"ociVersion": None}, "ociVersion"),
    "version_of_letters": ({"ociVersion": "one"}, "ersion"),
    "no_root": ({"root": None}, "root"),
    "root_that_is_not_there": ({"root/path": "nowhere"}, "nowhere"),
    "root_that_is_a_file": ({"root/path": "config.json"}, "config.json"),
    "no_arguments": ({"process/args": []}, "args"),
    "relative_directory": ({"process/cwd": "bin"}, "cwd"),
    "rlimit_that_does_not_exist": (
        {"process/rlimits": [{"type": "RLIMIT_LUCK", "soft": 1, "hard": 1}]},
        "RLIMIT_LUCK",
    ),
    "rlimit_twice": ({"process/rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}] * 2}, "RLIMIT_CORE"),
    "rlimit_soft_over_hard": ({"process/rlimits": [{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}]}, ""),
    "negative_umask": ({"process/user/umask": -1}, "umask"),
    "relative_hook": ({"hooks": {"createRuntime": [{"path": "bin/true"}]}}, "path"),
    "hook_without_time": ({"hooks": {"createRuntime": [{"path": "/bin/true", "timeout": 0}]}}, "timeout"),
    "hook_that_is_not_there": ({"hooks": {"createRuntime": [{"path": "/nowhere"}]}}, "/nowhere"),
    "empty_annotation": ({"annotations": {"": "x"}}, "annotation"),
    "annotation_of_a_number": ({"annotations": {"a": 1}}, "annotation"),
    "mount_without_destination": ({"mounts/4": {"source": "/tmp", "options": ["bind"]}}, "destination"),
    "mount_over_the_root": ({"mounts/4": {**BIND, "destination": "/"}}, ""),
    "mount_of_nothing": ({"mounts/4": {**BIND, "source": "/nowhere"}}, "/nowhere"),
    "mount_with_a_nul": ({"mounts/4": {**BIND, "source": "/tmp\0x"}}, ""),
    "file_system_that_does_not_exist": ({"mounts/4": {"destination": "/data", "type": "nonefs"}}, "nonefs"),
    "bind_with_an_unknown_flag": ({"mounts/4": {**BIND, "options": ["bind", "readonly"]}}, "readonly"),
    "file_over_a_file_of_proc": ({"mounts/4": {**BIND, "destination": "/proc/self/attr"}}, "/proc/self/attr"),
    "namespace_twice": ({"linux/namespaces/5": {"type": "uts"}}, "uts"),
    "namespace_of_no_type": ({"linux/namespaces/5": {"type": "space"}}, "space"),
    "namespace_by_relative_path": ({"linux/namespaces/5": {"type": "cgroup", "path": "ns/cgroup"}}, "ns/cgroup"),
    "namespace_of_another_type": ({"linux/namespaces/5": {"type": "cgroup", "path": "/proc/self/ns/uts"}}, "uts"),
    "namespace_that_is_a_file": ({"linux/namespaces/5": {"type": "cgroup", "path": "/etc/passwd"}}, "/etc/passwd"),
    "hostname_of_the_host": ({"linux/namespaces": [{"type": "mount"}]}, "hostname"),
    "maps_without_a_user_namespace": ({"linux/uidMappings": MAPPED, "linux/gidMappings": MAPPED}, "appings"),
    "user_namespace_without_maps": ({"linux/namespaces/5": USER}, "appings"),
    "map_of_no_ids": (
        {
            "linux/namespaces/5": USER,
            "linux/uidMappings": [{**MAPPED[0], "size": 0}],
            "linux/gidMappings": MAPPED,
        },
        "appings",
    ),
    "device_over_another_file": (
        {"linux/devices": [{"type": "c", "path": "/etc/passwd", "major": 1, "minor": 3}]},
        "/etc/passwd",
    ),
    "device_of_no_type": ({"linux/devices": [{"type": "x", "path": "/dev/x", "major": 1, "minor": 3}]}, "type"),
    "device_without_numbers": ({"linux/devices": [{"type": "c", "path": "/dev/x"}]}, "major"),
    "sysctl_of_the_host": ({"linux/sysctl": {"kernel.panic": "1"}}, "kernel.panic"),
    "sysctl_that_is_the_hostname": ({"linux/sysctl": {"kernel.hostname": "x"}}, "kernel.hostname"),
    "sysctl_of_the_hosts_network": (
        {
            "linux/namespaces": [
                {"type": "network", "path": "/proc/self/ns/net"},
                *({"type": t} for t in ("uts", "mount")),
            ],
            "linux/sysctl": {"net.core.somaxconn": "1"},
        },
        "net.core.somaxconn",
    ),
    "sysctl_that_does_not_exist": ({"linux/sysctl": {"net.ipv4.nowhere": "1"}}, "nowhere"),
    "relative_masked_path": ({"linux/maskedPaths": ["proc/kcore"]}, "maskedPaths"),
    "masked_path_on_the_host": (
        {"hostname": None, "linux/namespaces": [{"type": "pid"}], "linux/maskedPaths": ["/proc/kcore"]},
        "",
    ),
    "propagation_of_no_kind": ({"linux/rootfsPropagation": "open"}, "open"),
    "errno_for_an_action_without": (
        {"linux/seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 5}},
        "rrno",
    ),
    "system_calls_without_names": (
        {"linux/seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [], "action": "SCMP_ACT_KILL"}]}},
        "names",
    ),
    "metadata_without_a_listener": (
        {"linux/seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"}},
        "listener",
    ),
    "access_of_no_kind": ({"linux/resources/devices": [{"allow": True, "access": "rx"}]}, "access"),
    "hugepages_of_a_path": ({"linux/resources/hugepageLimits": [{"pageSize": "../2MB", "limit": 0}]}, "2MB"),
    "personality_of_no_machine": ({"linux/personality": {"domain": "WINDOWS"}}, "WINDOWS"),
}


def change(holder: Any, path: str, value: object) -> None:
    *outer, last = path.split("/")
    for name in outer:
        holder = holder[int(name)] if isinstance(holder, list) else holder.setdefault(name, {})
    if isinstance(holder, list):
        holder[int(last) :] = [value]
    elif value is None:
        del holder[last]
    else:
        holder[last] = value


def refusal(oci: Runtime, bundle: Bundle) -> str:
    """What `create` says when it fails. To a file: a container that is made in spite of all would hold a pipe open."""
    log = oci.directory / "said"
    with open(log, "w") as output, open(os.devnull) as nothing:
        words = [*oci.argv, "create", "--bundle", str(bundle.write()), oci.id]
        done = subprocess.run(words, stdin=nothing, stdout=output, stderr=output, timeout=60, check=False)
    assert done.returncode == 1, log.read_text()
    return log.read_text()


@pytest.mark.parametrize("case", MUSTS)
def test_must_be_an_error(oci: Runtime, bundle: Bundle, case: str) -> None:
    if oci.name != "urun":
        pytest.skip(f"{oci.name} of Debian 12 lets some of these pass, and has other words for the others")
    changes, word = MUSTS[case]
    for path, value in changes.items():
        change(bundle.config, path, value)
    said = refusal(oci, bundle)
    assert word in said
    assert "Traceback" not in said
    assert not oci.exists()


@pytest.mark.parametrize("oci", ["urun"], indirect=True)
def test_a_process_is_not_required_before_start(oci: Runtime, bundle: Bundle) -> None:
    """`create` makes all the rest; `start` has the container end, says so, and has done all that there was to do."""
    del bundle.config["process"]
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/touch", "args": ["touch", "/hook"]}]}
    assert "process: missing" in oci.run(bundle).stderr
    assert not oci.exists()
    oci.create(bundle)
    assert oci.status() == "created"
    done = oci("start", oci.id)
    assert done.returncode == 0 and "process: missing, there was nothing to start" in done.stderr
    oci.until("stopped")
    assert not (bundle.rootfs / "hook").exists()
    oci.ok("delete", oci.id)


def test_what_is_not_json_is_an_error(oci: Runtime, bundle: Bundle) -> None:
    for text in ("", "{", "[]", '{"ociVersion": "1.0.2"} x', json.dumps(bundle.config) * 2):
        bundle.write()
        (bundle.path / "config.json").write_text(text)
        assert oci("run", "--bundle", str(bundle.path), oci.id).returncode == 1
        assert not oci.exists()


def test_maps_beside_the_path_of_a_user_namespace_must_be_its_own(oci: Runtime, bundle: Bundle) -> None:
    if oci.name != "urun":
        pytest.skip(f"{oci.name} of Debian 12 does not compare them")
    other = f"{oci.id}-other"
    bundle.linux["namespaces"].append(dict(USER))
    bundle.linux.update(uidMappings=MAPPED, gidMappings=MAPPED)
    for parent in (bundle.path, *bundle.path.parents):
        if str(parent).startswith("/tmp/pytest-of"):
            parent.chmod(0o755)
    for path in (bundle.rootfs, *bundle.rootfs.rglob("*")):
        os.lchown(path, 100000, 100000)
    oci.running(bundle.sleep(), identifier=other)
    bundle.linux["namespaces"][-1]["path"] = f"/proc/{oci.state(other)['pid']}/ns/user"
    oci.inside(bundle, "true")
    oci.ok("delete", "--force", oci.id)
    bundle.linux["gidMappings"] = [{**MAPPED[0], "size": 6}]
    said = oci.run(bundle).stderr
    assert "linux.gidMappings: both a user namespace path and a non-matching mapping specified" in said
    assert not oci.exists()


def test_a_private_root_is_not_safe_without_pivot_root(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["rootfsPropagation"] = "private"
    done = oci.run(bundle, "--no-pivot")
    assert done.returncode == 1 and "not safe without pivot_root" in done.stderr

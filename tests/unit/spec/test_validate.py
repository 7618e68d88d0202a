"""What a config.json must satisfy: each rule by a document that breaks it, with the exact message."""

from __future__ import annotations

from typing import Any

import pytest

from utsuwa.errors import InvalidArgument
from utsuwa.spec import codec
from utsuwa.spec.default import default_spec
from utsuwa.spec.runtime import Process, Resources, Spec
from utsuwa.spec.validate import validate, validate_process
from utsuwa.spec.validate_linux import sysctl_path, validate_resources

ABSENT = object()


def changed(path: str, value: object, rootless: bool = False) -> dict[str, Any]:
    """The default configuration with one property set ("linux.devices", "mounts.0.options"), or taken away."""
    return with_changes({path: value}, rootless)


def with_changes(changes: dict[str, object], rootless: bool = False) -> dict[str, Any]:
    """The same with several properties."""
    document = codec.encode(default_spec(rootless, uid=1000, gid=1000))
    for path, value in changes.items():
        _change(document, path, value)
    return document


def _change(document: dict[str, Any], path: str, value: object) -> None:
    holder: Any = document
    *outer, last = path.split("/")
    for name in outer:
        holder = holder[int(name)] if isinstance(holder, list) else holder.setdefault(name, {})
    if value is ABSENT:
        del holder[last]
    elif isinstance(holder, list):
        holder[int(last) :] = [value]
    else:
        holder[last] = value


def verdict(document: object) -> str:
    """What is wrong with a document, "" when nothing is."""
    try:
        validate(codec.decode(Spec, document))
    except InvalidArgument as error:
        return str(error)
    return ""


RULE = {"names": ["read"], "action": "SCMP_ACT_ALLOW"}
BAD = [
    ("ociVersion", "2.0.0", 'ociVersion: expected a version 1.x as "1.3.0", found "2.0.0"'),
    ("ociVersion", "1.0", 'ociVersion: expected a version 1.x as "1.3.0", found "1.0"'),
    ("ociVersion", "1.0.0-", 'ociVersion: expected a version 1.x as "1.3.0", found "1.0.0-"'),
    ("ociVersion", "", 'ociVersion: expected a version 1.x as "1.3.0", found ""'),
    ("root", ABSENT, "root: missing, a container needs a root file system (root.path)"),
    ("root", {"path": ""}, "root.path: must not be empty"),
    ("root", {}, "root.path: missing, expected a string"),
    ("annotations", {"": "x"}, "annotations: a key must not be empty"),
    ("annotations", {"a\0": "x"}, 'annotations["a\\u0000"]: must not hold a NUL character, found "a\\u0000"'),
    ("process/args", ["a", "b\0"], 'process.args[1]: must not hold a NUL character, found "b\\u0000"'),
    ("mounts/0/options", ["a\0"], 'mounts[0].options[0]: must not hold a NUL character, found "a\\u0000"'),
    ("hostname", "a\0b", 'hostname: must not hold a NUL character, found "a\\u0000b"'),
    ("linux/sysctl", {"net.a": "\0"}, 'linux.sysctl["net.a"]: must not hold a NUL character, found "\\u0000"'),
    ("process/args", ABSENT, "process.args: must not be empty"),
    ("process/args", [], "process.args: must not be empty"),
    ("process/cwd", ABSENT, "process.cwd: missing, expected a string"),
    ("process/cwd", "", 'process.cwd: must be an absolute path, found ""'),
    ("process/cwd", "tmp", 'process.cwd: must be an absolute path, found "tmp"'),
    ("process/env", ["A=1", "B"], 'process.env[1]: expected NAME=value, found "B"'),
    ("process/env", ["=1"], 'process.env[0]: expected NAME=value, found "=1"'),
    (
        "process/consoleSize",
        {"height": 1, "width": 65536},
        "process.consoleSize.width: must be from 0 to 65535, found 65536",
    ),
    (
        "process/rlimits",
        [{"type": "RLIMIT_FOO", "hard": 1, "soft": 1}],
        'process.rlimits[0].type: expected a limit of getrlimit(2) as RLIMIT_NOFILE, found "RLIMIT_FOO"',
    ),
    (
        "process/rlimits",
        [{"type": "RLIMIT_CORE", "hard": 1, "soft": 1}] * 2,
        "process.rlimits[1].type: RLIMIT_CORE is there already",
    ),
    (
        "process/rlimits",
        [{"type": "RLIMIT_CORE", "hard": 1, "soft": 2}],
        "process.rlimits[0].soft: must not be greater than hard, found 2 > 1",
    ),
    ("process/oomScoreAdj", -1001, "process.oomScoreAdj: must be from -1000 to 1000, found -1001"),
    ("process/user/umask", 512, "process.user.umask: must be from 0 to 511, found 512"),
    ("hooks", {"prestart": [{"path": "a"}]}, 'hooks.prestart[0].path: must be absolute, found "a"'),
    (
        "hooks",
        {"poststop": [{"path": "/a", "timeout": 0}]},
        "hooks.poststop[0].timeout: must be greater than 0 seconds, found 0",
    ),
    ("mounts/1", {"destination": "/a/.."}, 'mounts[1].destination: can\'t be the root itself, found "/a/.."'),
    ("mounts/1", {"destination": ""}, 'mounts[1].destination: can\'t be the root itself, found ""'),
    (
        "mounts/1",
        {"destination": "/proc", "type": "tmpfs"},
        "mounts[1].destination: /proc cannot be mounted because it is not of type proc",
    ),
    (
        "mounts/1",
        {"destination": "/x/../proc/", "type": "proc", "source": "/tmp", "options": ["rbind"]},
        "mounts[1].destination: /proc cannot be mounted because it is not of type proc",
    ),
    (
        "mounts/1",
        {"destination": "/proc//self/", "type": "tmpfs"},
        'mounts[1].destination: "/proc/self" cannot be mounted because it is inside /proc',
    ),
    ("mounts/1", {"destination": "/a", "options": ["bind"]}, "mounts[1].source: missing, a bind mount needs it"),
    (
        "mounts/1",
        {"destination": "/a", "source": "/b", "options": ["bind", "size=1", "readonly"]},
        'mounts[1].options: bind mounts cannot have any filesystem-specific options applied, found "readonly"',
    ),
    (
        "mounts/1",
        {"destination": "/a", "source": "/b", "options": ["bind", "mode=755,ro"]},
        'mounts[1].options: bind mounts cannot have any filesystem-specific options applied, found "mode=755,ro"',
    ),
    (
        "mounts/1",
        {"destination": "/a", "source": "/b", "type": "bind", "options": ["ro"]},
        "mounts[1].type: bind is no file system, add the option bind or rbind",
    ),
    (
        "linux/namespaces",
        [{"type": "pid"}, {"type": "pid"}],
        "linux.namespaces[1]: pid is there already, a namespace type may be given once",
    ),
    (
        "linux/namespaces",
        [{"type": "pid", "path": "proc/1/ns/pid"}],
        'linux.namespaces[0].path: must be absolute, found "proc/1/ns/pid"',
    ),
    (
        "linux/namespaces",
        [{"type": "PID"}],
        'linux.namespaces[0].type: expected one of pid, network, mount, ipc, uts, user, cgroup, time, found "PID"',
    ),
    (
        "linux/namespaces",
        [{"type": "mount"}],
        "hostname: can't be set without a private uts namespace in linux.namespaces",
    ),
    (
        "linux/namespaces",
        [{"type": "uts"}],
        "linux.maskedPaths: needs a private mount namespace in linux.namespaces",
    ),
    ("linux", {}, "hostname: can't be set without a private uts namespace in linux.namespaces"),
    ("hostname", "é" * 33, "hostname: must not be longer than 64 bytes, found 66"),
    ("linux/maskedPaths", ["/a", "b"], 'linux.maskedPaths[1]: must be absolute, found "b"'),
    ("linux/readonlyPaths", [""], 'linux.readonlyPaths[0]: must be absolute, found ""'),
    (
        "linux/namespaces/4",
        {"type": "user"},
        "linux.uidMappings: missing, a new user namespace needs it",
    ),
    (
        "linux/uidMappings",
        [{"containerID": 0, "hostID": 0, "size": 1}],
        "linux.uidMappings: needs a user namespace in linux.namespaces",
    ),
    (
        "linux/devices",
        [{"type": "c", "path": "dev/x", "major": 1, "minor": 3}],
        'linux.devices[0].path: must be an absolute path of a file, found "dev/x"',
    ),
    (
        "linux/devices",
        [{"type": "c", "path": "/dev/x", "major": 1}],
        "linux.devices[0].minor: missing, a device of type c needs it",
    ),
    (
        "linux/devices",
        [{"type": "b", "path": "/dev/x", "major": -1, "minor": 0}],
        "linux.devices[0].major: must be from 0 to 4294967295, found -1",
    ),
    ("linux/sysctl", {"kernel.hostname": "a"}, 'linux.sysctl["kernel.hostname"]: set hostname instead'),
    (
        "linux/sysctl",
        {"vm.overcommit_memory": "1"},
        'linux.sysctl["vm.overcommit_memory"]: is not confined by any namespace, it would change the host',
    ),
    (
        "linux/sysctl",
        {"net/../kernel/core_pattern": "|/x"},
        'linux.sysctl["net/../kernel/core_pattern"]: is not the name of a kernel setting',
    ),
    (
        "linux/sysctl",
        {"net": "1"},
        'linux.sysctl["net"]: is not the name of a kernel setting',
    ),
    (
        "linux/sysctl",
        {"user.max_user_namespaces": "1"},
        'linux.sysctl["user.max_user_namespaces"]: needs a private user namespace in linux.namespaces',
    ),
    (
        "linux/resources/devices",
        [{"allow": True}],
        'linux.resources.devices[0].access: expected some of r, w and m, found ""',
    ),
    (
        "linux/resources/devices",
        [{"allow": True, "access": "rx"}],
        'linux.resources.devices[0].access: expected some of r, w and m, found "rx"',
    ),
    (
        "linux/resources/devices",
        [{"allow": True, "access": "r", "minor": -2}],
        "linux.resources.devices[0].minor: must be from -1 (any) to 4294967295, found -2",
    ),
    (
        "linux/resources/memory",
        {"limit": -2},
        "linux.resources.memory.limit: expected bytes, or -1 for unlimited, found -2",
    ),
    (
        "linux/resources/memory",
        {"swap": 1},
        "linux.resources.memory.swap: unable to set swap limit without memory limit",
    ),
    (
        "linux/resources/memory",
        {"limit": 2, "swap": 1},
        "linux.resources.memory.swap: memory+swap limit should be >= memory limit, found 1 < 2",
    ),
    (
        "linux/resources/memory",
        {"swappiness": 101},
        "linux.resources.memory.swappiness: must be from 0 to 100, found 101",
    ),
    ("linux/resources/cpu", {"cpus": "0-x"}, 'linux.resources.cpu.cpus: expected a list as "0-3,7", found "0-x"'),
    ("linux/resources/cpu", {"mems": "3-1"}, 'linux.resources.cpu.mems: expected a list as "0-3,7", found "3-1"'),
    ("linux/resources/cpu", {"idle": 2}, "linux.resources.cpu.idle: must be 0 or 1, found 2"),
    ("linux/resources/blockIO", {"weight": 5}, "linux.resources.blockIO.weight: must be from 10 to 1000, found 5"),
    (
        "linux/resources/blockIO",
        {"weightDevice": [{"major": 1, "minor": 1, "leafWeight": 1001}]},
        "linux.resources.blockIO.weightDevice[0].leafWeight: must be from 10 to 1000, found 1001",
    ),
    (
        "linux/resources/hugepageLimits",
        [{"pageSize": "2mb", "limit": 1}],
        'linux.resources.hugepageLimits[0].pageSize: expected a size as "2MB", found "2mb"',
    ),
    (
        "linux/resources/unified",
        {"../memory.max": "1"},
        'linux.resources.unified["../memory.max"]: expected the name of a cgroup file as "memory.high"',
    ),
    (
        "linux/resources/unified",
        {"..": "1"},
        'linux.resources.unified[".."]: expected the name of a cgroup file as "memory.high"',
    ),
    ("linux/rootfsPropagation", "up", "linux.rootfsPropagation: expected one of private, shared, "),
]


@pytest.mark.parametrize(("path", "value", "message"), BAD, ids=range(len(BAD)))
def test_refuses(path: str, value: object, message: str) -> None:
    found = verdict(changed(path, value))
    assert found.startswith(message) if message.endswith(" ") else found == message


ROOTLESS_BAD = [
    (
        "linux/uidMappings",
        [{"containerID": 1, "hostID": 1, "size": 9}],
        "linux.uidMappings: must map id 0 of the container",
    ),
    (
        "linux/gidMappings",
        [{"containerID": 0, "hostID": 1, "size": 0}],
        "linux.gidMappings[0].size: must be greater than 0",
    ),
    (
        "linux/gidMappings",
        [{"containerID": 0, "hostID": 1, "size": 2}, {"containerID": 5, "hostID": 2, "size": 1}],
        "linux.gidMappings[1].hostID: the range overlaps an earlier one",
    ),
    (
        "linux/gidMappings",
        [{"containerID": 0, "hostID": 1, "size": 4294967295}],
        "linux.gidMappings[0].hostID: 1 and 4294967295 ids from there go beyond 4294967294",
    ),
    (
        "linux/uidMappings",
        [{"containerID": i, "hostID": i, "size": 1} for i in range(341)],
        "linux.uidMappings: the kernel takes at most 340 ranges, found 341 (user_namespaces(7))",
    ),
    ("process/user/uid", 1, "process.user.uid: 1 is not in linux.uidMappings"),
    ("process/user/gid", 1, "process.user.gid: 1 is not in linux.gidMappings"),
    ("process/user/additionalGids", [0, 7], "process.user.additionalGids[1]: 7 is not in linux.gidMappings"),
    ("mounts/1/options", ["gid=5"], "mounts[1].options: gid=5 is not in linux.gidMappings"),
]


@pytest.mark.parametrize(("path", "value", "message"), ROOTLESS_BAD, ids=range(len(ROOTLESS_BAD)))
def test_refuses_in_a_user_namespace(path: str, value: object, message: str) -> None:
    assert verdict(changed(path, value, rootless=True)) == message


GOOD = [
    ("ociVersion", "1.0.2-dev+build.1"),
    ("linux/intelRdt", {}),
    ("linux/intelRdt", {"closID": "/", "l3CacheSchema": "L3:0=f\nMB:0=5", "memBwSchema": "MB:0=20"}),
    ("linux/netDevices", {}),
    ("linux/mountLabel", "system_u:object_r:container_file_t:s0:c1,c2"),
    ("process/apparmorProfile", "docker-default"),
    ("process/selinuxLabel", "system_u:system_r:container_t:s0:c1,c2"),
    ("process/commandLine", "ignored"),
    ("process/env", ["A=", "A=b=c\nd"]),
    ("process/capabilities", {"bounding": ["CAP_FOO"]}),
    ("process/rlimits", [{"type": "RLIMIT_RTTIME", "hard": 2**64 - 1, "soft": 0}]),
    ("process/consoleSize", None),
    ("hostname", "x" * 64),
    ("hooks", {"startContainer": [{"path": "/bin/true", "timeout": 1}], "poststop": []}),
    ("mounts/1", {"destination": "relative", "type": "tmpfs", "options": ["mode=700", "tmpcopyup", "rro"]}),
    ("mounts/1", {"destination": "/proc/meminfo", "source": "/x", "options": ["bind"]}),
    ("mounts/1", {"destination": "/proc", "source": "/proc", "options": ["rbind", "rslave"]}),
    (
        "mounts/1",
        {"destination": "/a", "source": "b", "options": ["rbind", "rro", "rnosuid", "rprivate", "nosymfollow"]},
    ),
    ("linux/namespaces/2", {"type": "cgroup"}),
    ("linux/namespaces/5", {"type": "user", "path": "/proc/7/ns/user"}),
    ("linux/sysctl", {"net.ipv4.ip_forward": "1", "net/ipv4/conf/eth0.1/x": "0", "fs.mqueue.msg_max": "9"}),
    ("linux/sysctl", {"kernel.shmmax": "1", "kernel.domainname": "x"}),
    ("linux/devices", [{"type": "p", "path": "/dev/fifo"}, {"type": "u", "path": "/d", "major": 0, "minor": 0}]),
    ("linux/resources/memory", {"limit": 10, "swap": 10, "kernel": -1, "swappiness": 0}),
    ("linux/resources/memory", {"limit": -1, "swap": -1}),
    ("linux/resources/cpu", {"cpus": "0-3,7,8-31:2/4\n", "mems": "", "idle": 1, "quota": -1}),
    ("linux/resources/hugepageLimits", [{"pageSize": "64KB", "limit": 0}]),
    ("linux/resources/unified", {"memory.high": "max"}),
    ("linux/resources/rdma", {}),
    ("linux/resources/rdma", {"mlx5_1": {"hcaHandles": 3}}),
    ("linux/resources/devices", [{"allow": False, "type": "c", "major": 1, "minor": 11, "access": "rwa"}]),
    ("linux/seccomp", {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "flags": [], "syscalls": [RULE]}),
    ("linux/rootfsPropagation", "rslave"),
]


@pytest.mark.parametrize(("path", "value"), GOOD, ids=range(len(GOOD)))
def test_accepts(path: str, value: object) -> None:
    document = changed(path, value)
    if path == "linux/namespaces/2":  # without an ipc namespace nothing else of the default may break
        document["linux"]["namespaces"] += [{"type": "uts"}, {"type": "mount"}]
    assert verdict(document) == ""


def test_process_of_exec_has_its_own_path() -> None:
    with pytest.raises(InvalidArgument, match=r"^exec\.json\.args: must not be empty$"):
        validate_process(codec.decode(Process, {"cwd": "/"}), "exec.json")


def test_resources_of_update_have_their_own_path() -> None:
    with pytest.raises(InvalidArgument, match=r"^memory\.swap: unable to set swap limit without memory limit$"):
        validate_resources(codec.decode(Resources, {"memory": {"swap": 5}}), "")


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.1/x", "net/ipv4/conf/eth0.1/x"),
        ("net.ipv4.conf.eth0/1.x", "net/ipv4/conf/eth0.1/x"),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_sysctl_separators(key: str, path: str) -> None:
    assert sysctl_path(key) == path

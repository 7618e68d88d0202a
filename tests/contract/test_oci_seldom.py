"""The contract of properties that few containers have: clocks of their own, memory policies, devices of the host."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.oci import Bundle, Runtime, mounts_below
from tests.needs import needs

OFFSETS = {"monotonic": {"secs": 7881, "nanosecs": 2718281}, "boottime": {"secs": 1337}}
SHOWN = [["monotonic", "7881", "2718281"], ["boottime", "1337", "0"]]
MAPPED = [{"containerID": 0, "hostID": 100000, "size": 65536}]


@pytest.fixture(autouse=True)
def _of_version_1_2(oci: Runtime) -> None:
    if oci.name != "urun":
        pytest.skip(f"{oci.name} of Debian 12 is older than these properties")


# -- time -------------------------------------------------------------------------------------------------------------


def clocks(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def in_user_namespace(bundle: Bundle) -> None:
    bundle.linux["namespaces"].append({"type": "user"})
    bundle.linux.update(uidMappings=MAPPED, gidMappings=MAPPED)
    subprocess.run(["chown", "-R", "-h", "100000:100000", str(bundle.rootfs)], check=True)
    for parent in (bundle.path, *bundle.path.parents):
        if str(parent).startswith("/tmp/pytest-of"):
            parent.chmod(0o755)


@pytest.mark.parametrize("user", [False, True])
def test_clocks_are_the_containers_and_those_of_its_execed_processes(oci: Runtime, bundle: Bundle, user: bool) -> None:
    if user:
        in_user_namespace(bundle)
    bundle.linux["namespaces"].append({"type": "time"})
    bundle.linux["timeOffsets"] = OFFSETS
    oci.running(bundle.shell("trap 'exit 3' TERM; cat /proc/self/timens_offsets; echo ready; sleep 1000 & wait"))
    assert clocks(oci.output())[:2] == SHOWN
    assert clocks(oci.ok("exec", oci.id, "cat", "/proc/self/timens_offsets")) == SHOWN
    first, own = (oci.ok("exec", oci.id, "readlink", f"/proc/{process}/ns/time") for process in ("1", "self"))
    assert first == own


def test_a_time_namespace_needs_no_offsets(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["namespaces"].append({"type": "time"})
    shown = clocks(oci.inside(bundle, "cat /proc/self/timens_offsets"))
    assert shown == [["monotonic", "0", "0"], ["boottime", "0", "0"]]


@pytest.mark.parametrize("user", [False, True])
def test_a_container_joins_all_namespaces_of_another(oci: Runtime, bundle: Bundle, user: bool) -> None:
    """All but the mount namespace, in which the root of the second would not be found."""
    if user:
        in_user_namespace(bundle)
    bundle.linux["namespaces"] += [{"type": "time"}, {"type": "cgroup"}]
    bundle.linux["timeOffsets"] = OFFSETS
    other = f"{oci.id}-other"
    oci.running(bundle.sleep(), identifier=other)
    pid = oci.state(other)["pid"]
    files = {"network": "net"}
    for namespace in bundle.linux["namespaces"]:
        if namespace["type"] != "mount":
            namespace["path"] = f"/proc/{pid}/ns/{files.get(namespace['type'], namespace['type'])}"
    for name in ("uidMappings", "gidMappings", "timeOffsets"):
        bundle.linux.pop(name, None)
    del bundle.config["hostname"]
    kinds = ("pid", "net", "ipc", "uts", "user", "cgroup", "time")
    script = f"for kind in {' '.join(kinds)}; do readlink /proc/self/ns/$kind; done"
    own = oci.inside(bundle, f"{script}; cat /proc/self/timens_offsets").splitlines()
    assert own[:7] == oci.ok("exec", other, "sh", "-c", script).splitlines()
    assert clocks("\n".join(own[7:])) == SHOWN


def test_a_clock_that_can_not_be_set_back_so_far_is_the_kernels_to_refuse(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["namespaces"].append({"type": "time"})
    bundle.linux["timeOffsets"] = {"boottime": {"secs": -(2**40)}}
    said = oci.run(bundle).stderr
    assert "make a new time namespace and enter it (boottime" in said and "setting its clocks" in said
    assert not oci.exists()


# -- the host's mounts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("readonly", [False, True])
def test_a_read_only_root_among_the_hosts_mounts_leaves_none_there(
    oci: Runtime, bundle: Bundle, readonly: bool
) -> None:
    bundle.linux["namespaces"] = [each for each in bundle.linux["namespaces"] if each["type"] != "mount"]
    bundle.config["root"]["readonly"] = readonly
    oci.running(bundle.shell("trap '' HUP; touch /new && echo written; echo ready; exec sleep 1000"))
    assert ("written" in oci.output()) != readonly
    assert oci("exec", oci.id, "touch", "/newer").returncode == int(readonly)
    assert (bundle.rootfs / "new").exists() != readonly
    assert mounts_below(bundle.path) == []


def test_a_terminal_among_the_hosts_mounts(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["namespaces"] = [each for each in bundle.linux["namespaces"] if each["type"] != "mount"]
    bundle.process.update(terminal=True, args=["sh", "-c", "tty >/dev/null; test -t 0 && stty size; echo done"])
    bundle.process["consoleSize"] = {"height": 12, "width": 34}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(bundle.path / "console"))
        listener.listen()
        oci.create(bundle, "--console-socket", str(bundle.path / "console"))
        connection, _ = listener.accept()
        with connection:
            _, (master,), _, _ = socket.recv_fds(connection, 256, 1)
    oci.ok("start", oci.id)
    said = b""
    try:
        while b"done" not in said:
            said += os.read(master, 4096)
    finally:
        os.close(master)
    assert said.split() == [b"12", b"34", b"done"]


# -- memory -----------------------------------------------------------------------------------------------------------


def policy(oci: Runtime, bundle: Bundle, **wanted: Any) -> subprocess.CompletedProcess[str]:
    bundle.linux["memoryPolicy"] = wanted
    return oci.run(bundle.shell("head -n 1 /proc/self/numa_maps | cut -d ' ' -f 2"))


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        ({"mode": "MPOL_INTERLEAVE", "nodes": "0"}, "interleave:0"),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}, "bind=static:0"),
        ({"mode": "MPOL_PREFERRED", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"]}, "prefer=relative:0"),
        ({"mode": "MPOL_PREFERRED"}, "local"),
        ({"mode": "MPOL_PREFERRED_MANY", "nodes": "0"}, "prefer"),
        ({"mode": "MPOL_DEFAULT"}, "default"),
        ({"mode": "MPOL_LOCAL", "nodes": ""}, "local"),
    ],
)
def test_memory_comes_from_where_it_should(oci: Runtime, bundle: Bundle, wanted: dict[str, Any], shown: str) -> None:
    assert policy(oci, bundle, **wanted).stdout.strip() == shown


def test_an_execed_process_has_the_policy_too(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["memoryPolicy"] = {"mode": "MPOL_INTERLEAVE", "nodes": "0"}
    oci.running(bundle.sleep())
    assert " interleave:0 " in oci.ok("exec", oci.id, "head", "-n", "1", "/proc/self/numa_maps")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({}, 'linux.memoryPolicy.mode: invalid memory policy mode ""'),
        ({"mode": "INTERLEAVE", "nodes": "0"}, 'invalid memory policy mode "INTERLEAVE"'),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["x"]}, 'invalid memory policy flag "x"'),
        ({"mode": "MPOL_BIND", "nodes": "0-9876543210"}, 'invalid memory policy nodes "0-9876543210"'),
        ({"mode": "MPOL_BIND", "nodes": "3-1"}, 'invalid memory policy nodes "3-1"'),
        ({"mode": "MPOL_BIND"}, "memory policy mode requires at least one node but got 0"),
        ({"mode": "MPOL_DEFAULT", "nodes": "0-7"}, "memory policy mode requires 0 nodes but got 8"),
        ({"mode": "MPOL_BIND", "nodes": "1023"}, "take memory by MPOL_BIND from nodes 1023: invalid argument"),
    ],
)
def test_memory_policies_that_make_no_sense(oci: Runtime, bundle: Bundle, wanted: dict[str, Any], said: str) -> None:
    done = policy(oci, bundle, **wanted)
    assert done.returncode == 1 and said in done.stderr
    assert not oci.exists()


# -- network devices --------------------------------------------------------------------------------------------------


class Network:
    """A network namespace in which the runtime is called, with a pair of devices in it."""

    def __init__(self, pid: int) -> None:
        self.words = ["nsenter", f"--net=/proc/{pid}/ns/net"]

    def ip(self, *words: str) -> str:
        done = subprocess.run([*self.words, "ip", *words], capture_output=True, text=True, check=True)
        return done.stdout

    def link(self, name: str) -> dict[str, Any]:
        """What `ip` tells of a device."""
        found: dict[str, Any] = json.loads(self.ip("-json", "address", "show", "dev", name))[0]
        return found

    def addresses(self, name: str) -> set[str]:
        return {
            f"{each['local']}/{each['prefixlen']}"
            for each in self.link(name)["addr_info"]
            if each["scope"] != "link" or each["family"] == "inet"
        }


@pytest.fixture
def network(oci: Runtime) -> Iterator[Network]:
    keeper = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert keeper.stdout and keeper.stdin
    keeper.stdout.readline()
    network = Network(keeper.pid)
    network.ip("link", "add", "left", "type", "veth", "peer", "name", "right")
    network.ip("link", "set", "left", "mtu", "1400", "address", "02:00:00:00:00:05")
    for address in (["10.9.8.7/24"], ["10.9.8.8/32", "scope", "host"], ["fd00::7/64", "nodad"]):
        network.ip("address", "add", *address, "dev", "left")
    for name in ("left", "right"):
        network.ip("link", "set", name, "up")
    outside = oci.argv
    oci.argv = [*network.words, *outside]
    yield network
    oci.argv = outside  # its containers are deleted when the namespace is gone
    keeper.stdin.close()
    keeper.wait()
    keeper.stdout.close()


def with_devices(bundle: Bundle, **devices: dict[str, str]) -> Bundle:
    bundle.linux["netDevices"] = devices
    return bundle


@pytest.mark.parametrize("user", [False, True])
@needs("ip")
def test_a_device_moves_in_as_it_was(oci: Runtime, bundle: Bundle, network: Network, user: bool) -> None:
    if user:
        in_user_namespace(bundle)
    shown = oci.inside(with_devices(bundle, left={"name": "eth0"}), "ip address show dev eth0")
    assert "mtu 1400" in shown and "02:00:00:00:00:05" in shown and ",UP" in shown
    assert "inet 10.9.8.7/24 " in shown and "inet6 fd00::7/64 " in shown and "10.9.8.8" not in shown


@needs("ip")
def test_a_device_keeps_its_name_unless_it_gets_another(oci: Runtime, bundle: Bundle, network: Network) -> None:
    shown = oci.inside(with_devices(bundle, left={}, right={"name": "eth%d"}), "ls /sys/class/net")
    assert shown.split() == ["eth0", "left", "lo"]


@needs("ip")
def test_a_device_stays_where_a_namespace_that_is_joined_stays(oci: Runtime, bundle: Bundle, network: Network) -> None:
    other = f"{oci.id}-other"
    oci.running(bundle.sleep(), identifier=other)
    theirs = f"/proc/{oci.state(other)['pid']}/ns/net"
    next(each for each in bundle.linux["namespaces"] if each["type"] == "network")["path"] = theirs
    oci.inside(with_devices(bundle, left={"name": "eth0"}), "ip address show dev eth0")
    oci.ok("delete", "--force", oci.id)
    assert "10.9.8.7/24" in oci.ok("exec", other, "ip", "address", "show", "dev", "eth0")


def _no_program(bundle: Bundle) -> None:
    bundle.process["args"] = ["missing"]


def _failing_hook(bundle: Bundle) -> None:
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/false"}]}


def _no_other_device(bundle: Bundle) -> None:
    bundle.linux["netDevices"]["missing"] = {}


def _taken_name(bundle: Bundle) -> None:
    bundle.linux["netDevices"]["left"] = {"name": "lo"}


@pytest.mark.parametrize("spoil", [_no_program, _failing_hook, _no_other_device, _taken_name])
@needs("ip")
def test_a_failed_creation_gives_the_devices_back(oci: Runtime, bundle: Bundle, network: Network, spoil: Any) -> None:
    before = network.link("left")
    spoil(with_devices(bundle, left={"name": "eth0"}))
    assert oci.run(bundle).returncode != 0
    after = network.link("left")
    assert (after["ifindex"], after["mtu"], after["address"]) == (before["ifindex"], 1400, "02:00:00:00:00:05")
    assert "UP" in after["flags"]
    assert network.addresses("left") == {"10.9.8.7/24", "10.9.8.8/32", "fd00::7/64"}


@needs("ip")
def test_a_device_that_is_not_there_is_named(oci: Runtime, bundle: Bundle, network: Network) -> None:
    said = oci.run(with_devices(bundle, missing={})).stderr
    assert "move network device missing into the container: the host has none of that name" in said

"""containerd's CRI on urun, as a kubelet calls it: pods, containers that share, exec, update, OOM, logs, restart."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.engines import ENVIRONMENT, PRIVATE_MOUNTS
from tests.contract.oci import eventually
from tests.needs import needs
from tools.oci_image import busybox_layer, write_layout

grpc = pytest.importorskip("grpc", reason="needs grpcio")
from tests.conformance.cri import EXITED, NODE, POD, RUNNING, Runtime, decode  # noqa: E402

pytestmark = needs("root", "cgroup1", "overlay", "busybox", "containerd", "ctr")

NAME = "utsuwa/pod:latest"
IMAGE = "localhost:1/pod:latest"
"""Nobody is there to be asked for it."""
CONFIG = """
version = 2
root = "{directory}/root"
state = "{directory}/state"
[grpc]
address = "{directory}/sock"
[ttrpc]
address = "{directory}/sock.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{image}"
stream_server_port = "0"
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "urun"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.urun]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.urun.options]
BinaryName = "{runtime}"
Root = "{directory}/containers"
"""


@pytest.fixture
def cri(tmp_path: Path, urun: str) -> Iterator[Runtime]:
    """A containerd of the test's own, with an image for pods and containers in it."""
    directory = tmp_path / "containerd"
    directory.mkdir()
    text = CONFIG.format(directory=directory, image=IMAGE, runtime=urun)
    (directory / "config.toml").write_text(text)
    write_layout(tmp_path / "image.tar", [busybox_layer()], NAME, {"Env": ["PATH=/bin"], "Cmd": ["sleep", "100000"]})
    with (directory / "log").open("w") as log:
        words = [*PRIVATE_MOUNTS, "containerd", "--config", str(directory / "config.toml")]
        daemon = subprocess.Popen(words, stdout=log, stderr=log, env=ENVIRONMENT)
    found = Runtime(f"{directory}/sock")
    try:
        eventually(lambda: _answers(found), "containerd")
        words = ["ctr", "--address", f"{directory}/sock", "--namespace", "k8s.io", "images"]
        for last in (["import", str(tmp_path / "image.tar")], ["tag", f"docker.io/{NAME}", IMAGE]):
            subprocess.run([*words, *last], check=True, capture_output=True, timeout=60)
        eventually(lambda: found("ImageStatus", {1: {1: IMAGE}}, "Image"), "the image")
        yield found
    finally:
        found.close()
        daemon.terminate()
        daemon.wait(20)
        shutil.rmtree(directory, ignore_errors=True)


def _answers(runtime: Runtime) -> bool:
    try:
        return bool(runtime("Version", {}))
    except grpc.RpcError:
        return False


class Pod:
    """A sandbox on the host's network, since no network plug-in is there, and its containers."""

    def __init__(self, cri: Runtime, group: str, logs: Path) -> None:
        self.cri = cri
        namespaces = {1: NODE, 2: POD, 3: POD}
        self._linux = {1: f"/{group}", 2: {1: namespaces}}
        self.config = {1: {1: "pod", 2: "uid", 3: "space"}, 3: str(logs), 8: self._linux}
        self._options = namespaces
        self.id = cri("RunPodSandbox", {1: self.config})[1].decode()

    def create(self, name: str, *words: str, resources: dict[int, Any] | None = None) -> str:
        """A container that is not started."""
        linux = {1: resources or {}, 2: {3: self._options}}
        config = {1: {1: name}, 2: {1: IMAGE}, 3: list(words), 6: {1: "A", 2: "1"}, 11: f"{name}.log", 15: linux}
        return self.cri("CreateContainer", {1: self.id, 2: config, 3: self.config})[1].decode()

    def run(self, name: str, *words: str, resources: dict[int, Any] | None = None) -> str:
        identifier = self.create(name, *words, resources=resources)
        self.cri("StartContainer", {1: identifier})
        return identifier


@pytest.fixture
def pod(cri: Runtime, group: str, tmp_path: Path) -> Iterator[Pod]:
    (tmp_path / "logs").mkdir()
    made = Pod(cri, group, tmp_path / "logs")
    yield made
    cri("StopPodSandbox", {1: made.id})
    cri("RemovePodSandbox", {1: made.id})


def test_the_life_of_a_container(pod: Pod, tmp_path: Path) -> None:
    cri = pod.cri
    one = pod.run("one", "sh", "-c", "trap 'exit 7' TERM; echo up $A; while :; do sleep 0.05; done")
    assert cri.status(one)[0] == RUNNING
    log = tmp_path / "logs/one.log"
    eventually(lambda: log.read_text().endswith(" stdout F up 1\n"), "the log")
    assert cri.execute(one, "sh", "-c", "echo inside; exit 5") == (5, "inside\n")
    cri("StopContainer", {1: one, 2: 20})
    assert cri.status(one) == (EXITED, 7, "Error")
    cri("RemoveContainer", {1: one})
    again = pod.run("one", "true")
    eventually(lambda: cri.status(again)[0] == EXITED)
    assert cri.status(again) == (EXITED, 0, "Completed")


def test_containers_of_a_pod_share_what_a_pod_shares(pod: Pod) -> None:
    one, two = (pod.run(name, "sleep", "1000") for name in ("one", "two"))
    for kind in ("net", "ipc", "uts", "pid"):
        found = [pod.cri.execute(each, "busybox", "readlink", f"/proc/self/ns/{kind}")[1] for each in (one, two)]
        assert found[0] == found[1], kind
    assert pod.cri.execute(one, "busybox", "readlink", "/proc/self/ns/mnt") != pod.cri.execute(
        two, "busybox", "readlink", "/proc/self/ns/mnt"
    )
    assert pod.cri.execute(one, "sh", "-c", "echo shared > /dev/shm/word")[0] == 0
    assert pod.cri.execute(two, "cat", "/dev/shm/word") == (0, "shared\n")
    assert "sleep 1000" in pod.cri.execute(one, "ps", "-o", "args")[1]


def test_limits_are_set_and_changed(pod: Pod) -> None:
    one = pod.run("one", "sleep", "1000", resources={2: 50000, 1: 100000, 4: 64 << 20})
    read = ("sh", "-c", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    assert pod.cri.execute(one, *read) == (0, f"{64 << 20}\n50000\n")
    pod.cri("UpdateContainerResources", {1: one, 2: {2: 25000, 1: 100000, 4: 96 << 20}})
    assert pod.cri.execute(one, *read) == (0, f"{96 << 20}\n25000\n")
    memory = decode(decode(pod.cri("ContainerStats", {1: one})[1])[3])
    assert 0 < decode(memory[2])[1] < 64 << 20


def test_a_container_without_memory_is_told_so(pod: Pod) -> None:
    one = pod.run("one", "busybox", "dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1", resources={4: 24 << 20})
    eventually(lambda: pod.cri.status(one)[0] == EXITED)
    assert pod.cri.status(one) == (EXITED, 137, "OOMKilled")


def test_a_missing_program_is_told(pod: Pod) -> None:
    one = pod.create("one", "/no-such-program")
    with pytest.raises(grpc.RpcError, match="no such file or directory"):
        pod.cri("StartContainer", {1: one})
    assert pod.cri.status(one)[0] == EXITED

"""The deputy, which keeps the caller's rights while a container is born; and what an image makes of copies and maps."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.contract.oci import Bundle, Runtime, eventually
from tests.needs import needs
from tests.security.attack import Decoy

pytestmark = needs("root", "busybox")

MAPPED = [{"containerID": 0, "hostID": 100000, "size": 65536}]


def id_mapped(bundle: Bundle, source: Path, destination: str) -> Bundle:
    mount = {"destination": destination, "source": str(source), "options": ["rbind"]}
    bundle.config["mounts"].append({**mount, "uidMappings": MAPPED, "gidMappings": MAPPED})
    return bundle


def executors(session: int) -> set[int]:
    """Processes of that session that are utsuwa-init."""
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            is_ours = os.getsid(int(name)) == session
            if is_ours and Path(f"/proc/{name}/comm").read_text() == "utsuwa-init\n":
                found.add(int(name))
        except (ProcessLookupError, FileNotFoundError):
            pass
    return found


def test_nothing_of_it_is_left_when_the_container_waits(oci: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    """A process with the caller's rights, or a socket to one, would be a way out of the container.

    Proven: without DISMISS in the plan the deputy lives as long as the container waits.
    """
    id_mapped(bundle, tmp_path, "/data")
    bundle.linux["namespaces"].append({"type": "user"})
    bundle.linux.update(uidMappings=MAPPED, gidMappings=MAPPED)
    for path in (bundle.rootfs, *bundle.rootfs.rglob("*")):
        os.lchown(path, 100000, 100000)
    for parent in (bundle.path, *bundle.path.parents):
        if str(parent).startswith("/tmp/pytest-of"):
            parent.chmod(0o755)
    oci.create(bundle)
    pid = oci.state()["pid"]
    eventually(lambda: executors(os.getsid(0)) <= {pid}, "the end of the deputy and of who waits for it")
    held = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
    assert len([target for target in held if target.startswith("socket:")]) <= 1, held  # where `start` will connect


@needs("ip")
def test_a_killed_creation_gives_a_device_back(oci: Runtime, bundle: Bundle) -> None:
    """Nobody is left to put things back but the deputy: SIGKILL of the runtime must not cost the host a device.

    Proven: with the deputy killed as well, the device is gone.
    """
    script = "ip link add left type veth peer name right && ip address add 10.9.8.7/24 dev left && echo && cat"
    keeper = subprocess.Popen(["unshare", "--net", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert keeper.stdin and keeper.stdout
    try:
        assert keeper.stdout.readline()
        enter = ["nsenter", f"--net=/proc/{keeper.pid}/ns/net"]
        bundle.linux["netDevices"] = {"left": {"name": "eth0"}}
        marker = bundle.path / "in-the-hook"
        hook = {"path": "/bin/sh", "args": ["sh", "-c", f"echo $$ > {marker}.new; mv {marker}.new {marker}; sleep 60"]}
        bundle.config["hooks"] = {"createRuntime": [hook]}
        words = [*enter, *oci.argv, "create", "--bundle", str(bundle.write()), oci.id]
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as runtime:
            eventually(marker.exists, "the hook")
            show = [*enter, "ip", "-brief", "address", "show", "dev", "left"]
            assert subprocess.run(show, capture_output=True, check=False).returncode != 0
            runtime.send_signal(signal.SIGKILL)
        eventually(lambda: subprocess.run(show, capture_output=True, check=False).returncode == 0, "the device")
        eventually(lambda: "10.9.8.7/24" in subprocess.run(show, capture_output=True, text=True).stdout, "its address")
        os.kill(int(marker.read_text()), signal.SIGKILL)
    finally:
        keeper.stdin.close()
        keeper.wait()
        keeper.stdout.close()


@pytest.mark.parametrize("relative", [False, True])
def test_a_mapped_mount_follows_no_link_out(
    oci: Runtime, bundle: Bundle, decoy: Decoy, tmp_path: Path, relative: bool
) -> None:
    """The image says where a destination leads, and stays inside whatever it says.

    Proven: the decoy's own directory is what the link names.
    """
    (bundle.rootfs / "var").rmdir()
    target = "../" * 40 + str(decoy.path)[1:] if relative else str(decoy.path)
    (bundle.rootfs / "var").symlink_to(target)
    (tmp_path / "volume").mkdir()
    oci.run(id_mapped(bundle, tmp_path / "volume", "/var/made/here"))
    assert not decoy.touched


def test_what_an_image_offers_to_be_copied(oci: Runtime, bundle: Bundle, decoy: Decoy) -> None:
    """tmpcopyup reads the image's files as root: links are copied as links, pipes are not waited for, depth has an end.

    Proven: with links followed, the decoy's content is in the container.
    """
    data = bundle.rootfs / "data"
    data.mkdir()
    (data / "link").symlink_to(decoy.path / "file")
    (data / "directory").symlink_to(decoy.path)
    os.mkfifo(data / "pipe")
    bundle.config["mounts"].append(
        {"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}
    )
    shown = oci.inside(bundle, "cat /data/link 2>/dev/null; ls /data/directory/ 2>/dev/null; ls -l /data | cut -c1")
    assert "decoy" not in shown and sorted(shown.split()) == ["l", "l", "p", "t"]
    deep = data
    for _ in range(140):
        deep = deep / "d"
        deep.mkdir()
    done = oci.run(bundle)
    assert done.returncode != 0 and "content copied up" in done.stderr
    assert not decoy.touched

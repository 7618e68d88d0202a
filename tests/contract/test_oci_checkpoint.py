"""The contract of checkpoint and restore: what a container was doing, it goes on with."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.contract.oci import PATIENCE, Bundle, Runtime, eventually
from tests.contract.test_oci_terminal import Receiver
from tests.needs import cgroups, needs

pytestmark = needs("criu")

COUNTER = "n=0; while true; do n=$((n+1)); echo $n > /count; sleep 0.05; done"
READER = "trap 'exit 3' TERM; while read line; do echo got $line; done; sleep 1000 & wait"


@pytest.fixture(autouse=True)
def _built_with_criu(oci: Runtime) -> None:
    if oci.name == "crun":
        pytest.skip("Debian builds crun without CRIU")


def count(bundle: Bundle) -> int:
    """How far the counter has come; 0 before it has begun, and where a write is just under way."""
    path = bundle.rootfs / "count"
    return int(path.read_text() or 0) if path.exists() else 0


def past(bundle: Bundle, number: int) -> int:
    eventually(lambda: count(bundle) > number, f"a count over {number}")
    return count(bundle)


@pytest.fixture
def counter(oci: Runtime, bundle: Bundle) -> Bundle:
    """A running container that counts, whose streams are null devices."""
    start(oci, bundle.shell(COUNTER))
    past(bundle, 2)
    return bundle


def start(oci: Runtime, bundle: Bundle, *options: str, **streams: Any) -> None:
    oci._made.append(oci.id)
    usual = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    words = [*oci.argv, "run", "--detach", "--bundle", str(bundle.write()), *options, oci.id]
    subprocess.run(words, timeout=60, check=True, **{**usual, **streams})


def checkpoint(oci: Runtime, *options: str) -> None:
    oci.ok("checkpoint", *options, "--image-path", str(oci.directory / "images"), oci.id)


def restore_words(oci: Runtime, bundle: Bundle, *options: str) -> list[str]:
    images = str(oci.directory / "images")
    return [*oci.argv, "restore", "--bundle", str(bundle.path), "--image-path", images, *options, oci.id]


def restore(oci: Runtime, bundle: Bundle, *options: str, **streams: Any) -> None:
    usual = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    done = subprocess.run(
        restore_words(oci, bundle, "--detach", *options), timeout=60, check=False, **{**usual, **streams}
    )
    log = oci.directory / "images/restore.log"
    told = [line for line in log.read_text().splitlines() if "Error" in line] if log.exists() else []
    assert done.returncode == 0, told


@cgroups
def test_a_container_goes_on_where_it_was(oci: Runtime, counter: Bundle) -> None:
    checkpoint(oci)
    assert not oci.exists()
    reached = count(counter)
    pid_file = oci.directory / "pid"
    restore(oci, counter, "--pid-file", str(pid_file))
    state = oci.state()
    assert (state["status"], state["pid"]) == ("running", int(pid_file.read_text()))
    past(counter, reached)
    oci.stop()
    oci.ok("delete", oci.id)


def test_once_more(oci: Runtime, counter: Bundle) -> None:
    """With a process of `exec` in it: that one is in the clocks' namespace, too, or CRIU would refuse it."""
    for _ in range(2):
        checkpoint(oci)
        restore(oci, counter)
        oci.ok("exec", oci.id, "sh", "-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 &")
    assert oci.ok("exec", oci.id, "ps", "-o", "args").count("sleep 1000") == 2
    past(counter, count(counter))


def test_leave_running(oci: Runtime, counter: Bundle) -> None:
    checkpoint(oci, "--leave-running")
    assert oci.status() == "running"
    past(counter, count(counter))
    assert (oci.directory / "images/inventory.img").exists()


def test_a_paused_container(oci: Runtime, counter: Bundle) -> None:
    oci.ok("pause", oci.id)
    checkpoint(oci)
    restore(oci, counter)
    past(counter, count(counter))


@cgroups
@needs("memory tracking")
def test_pre_dump(oci: Runtime, counter: Bundle) -> None:
    parent = oci.directory / "parent"
    oci.ok("checkpoint", "--pre-dump", "--image-path", str(parent), oci.id)
    past(counter, count(counter))
    checkpoint(oci, "--parent-path", "../parent")
    reached = count(counter)
    restore(oci, counter)
    past(counter, reached)


def test_a_parent_path_is_relative(oci: Runtime, counter: Bundle) -> None:
    said = oci.fails("checkpoint", "--parent-path", "/tmp", "--image-path", str(oci.directory / "images"), oci.id)
    assert "--parent-path" in said
    past(counter, count(counter))


def test_a_created_container_has_nothing_to_write(oci: Runtime, bundle: Bundle) -> None:
    oci.create(bundle)
    oci.fails("checkpoint", "--image-path", str(oci.directory / "images"), oci.id)
    assert oci.status() == "created"


def test_restore_without_images_leaves_nothing(oci: Runtime, bundle: Bundle) -> None:
    bundle.write()
    (oci.directory / "images").mkdir()
    done = subprocess.run(restore_words(oci, bundle, "--detach"), capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert not oci.exists()


def test_binds_and_masks(oci: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "volume/sub").mkdir(parents=True)
    (tmp_path / "file").write_text("from the host")
    (bundle.rootfs / "real").mkdir()
    (bundle.rootfs / "link").symlink_to("/real")
    bundle.config["mounts"] += [
        {"destination": "/link", "type": "bind", "source": str(tmp_path / "volume"), "options": ["bind"]},
        {"destination": "/etc/file", "type": "bind", "source": str(tmp_path / "file"), "options": ["bind", "ro"]},
        {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs"},
    ]
    bundle.linux["maskedPaths"] = ["/proc/kcore", "/proc/timer_list", "/proc/scsi", "/proc/none"]
    bundle.linux["readonlyPaths"] = ["/proc/sys", "/proc/bus"]
    start(oci, bundle.shell(f"echo kept > /scratch/file; {COUNTER}"))
    past(bundle, 2)
    checkpoint(oci)
    restore(oci, bundle)
    past(bundle, count(bundle))
    assert oci.ok("exec", oci.id, "cat", "/scratch/file", "/etc/file") == "kept\nfrom the host"
    oci.ok("exec", oci.id, "touch", "/link/sub/made")
    assert (tmp_path / "volume/sub/made").exists()
    assert oci.ok("exec", oci.id, "cat", "/proc/timer_list") == ""
    oci.fails("exec", oci.id, "sh", "-c", "echo 1 > /proc/sys/kernel/sysrq")


def test_the_loopback_interface_is_up_again(oci: Runtime, counter: Bundle) -> None:
    checkpoint(oci)
    restore(oci, counter)
    oci.ok("exec", oci.id, "sh", "-c", "ip link show lo | grep -q ',UP'")


def test_pipes_are_replaced_by_ours(oci: Runtime, bundle: Bundle) -> None:
    with pipes() as (theirs, ours):
        start(oci, bundle.shell(READER), **theirs)
        os.write(ours["stdin"], b"one\n")
        assert os.read(ours["stdout"], 100) == b"got one\n"
        checkpoint(oci)
    with pipes() as (theirs, ours):
        restore(oci, bundle, **theirs)
        os.write(ours["stdin"], b"two\n")
        assert os.read(ours["stdout"], 100) == b"got two\n"
        oci.stop()


@contextmanager
def pipes() -> Iterator[tuple[dict[str, int], dict[str, int]]]:
    """Standard streams that are pipes, and our ends of them."""
    made = {stream: os.pipe() for stream in ("stdin", "stdout", "stderr")}
    theirs = {stream: pair[stream != "stdin"] for stream, pair in made.items()}
    ours = {stream: pair[stream == "stdin"] for stream, pair in made.items()}
    try:
        yield theirs, ours
    finally:
        for pair in made.values():
            for descriptor in pair:
                os.close(descriptor)


@cgroups
def test_a_terminal_comes_back(oci: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    bundle.process["terminal"] = True
    first, second = Receiver(tmp_path / "first"), Receiver(tmp_path / "second")
    try:
        start(oci, bundle.shell("stty -echo; echo ready; while read line; do echo got $line; done"),
              "--console-socket", str(first.path))  # fmt: skip
        expect(first.take(), b"ready")
        checkpoint(oci)
        restore(oci, bundle, "--console-socket", str(second.path))
        master = second.take()
        os.write(master, b"word\n")
        expect(master, b"got word")
        oci.stop()
    finally:
        first.close()
        second.close()


def expect(master: int, words: bytes) -> None:
    seen = b""
    while words not in seen:
        seen += os.read(master, 1000)


def test_restore_in_the_foreground_gives_the_exit_status(oci: Runtime, bundle: Bundle) -> None:
    start(oci, bundle.shell(f"trap 'exit 3' TERM; {COUNTER}"))
    past(bundle, 2)
    checkpoint(oci)
    reached = count(bundle)
    nothing = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    with subprocess.Popen(restore_words(oci, bundle), **nothing) as foreground:  # type: ignore[call-overload]
        past(bundle, reached)
        foreground.terminate()
        assert foreground.wait(PATIENCE) == 3
    assert not oci.exists()

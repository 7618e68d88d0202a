"""What checkpoint and restore have options for: connections, locks, removed files, memory that travels."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.contract.oci import PATIENCE, Bundle, Runtime, eventually
from tests.contract.test_oci_checkpoint import COUNTER, checkpoint, count, past, restore, start
from tests.needs import needs

pytestmark = needs("criu")

HELD = """
echo kept > /first; ln /first /second; exec 5>>/first; rm /first
sleep 1000 | nc -l -p 7000 > /count &
until (n=0; while echo $((n=n+1)); do sleep 0.05; done) | nc 127.0.0.1 7000; do :; done
"""
"""A file that is open and has lost its name, and a connection that is talked through."""


@pytest.fixture(autouse=True)
def _built_with_criu(oci: Runtime) -> None:
    if oci.name == "crun":
        pytest.skip("Debian builds crun without CRIU")


def heard(bundle: Bundle) -> int:
    """What the other end of the connection has heard last."""
    path = bundle.rootfs / "count"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return int(lines[-1]) if lines else 0


def test_connections_locks_and_removed_files_need_their_options(oci: Runtime, bundle: Bundle) -> None:
    options = ("--tcp-established", "--file-locks", "--link-remap")
    start(oci, bundle.shell(HELD))
    eventually(lambda: heard(bundle) > 2, "a connection")
    hold_a_lock(oci)
    for left_out in options:
        rest = [option for option in options if option != left_out]
        oci.fails("checkpoint", *rest, "--image-path", str(oci.directory / left_out), oci.id)
        assert oci.status() == "running"
    checkpoint(oci, *options)
    reached = heard(bundle)
    restore(oci, bundle, *options[:2])
    eventually(lambda: heard(bundle) > reached, "the connection to go on")
    assert is_locked(bundle)


def hold_a_lock(oci: Runtime) -> None:
    """Have a process of the container hold a lock: the shell there has no command for it."""
    within = f"/proc/{oci.state()['pid']}/root/lock"
    holder = ["sh", "-c", "setsid sleep 1000 <&- >&- 2>&- &"]
    words = ["sh", "-c", 'exec 3>"$0" && flock -n 3 && exec "$@"', within, *oci.argv]
    subprocess.run([*words, "exec", "--preserve-fds", "1", oci.id, *holder], timeout=60, check=True)


def is_locked(bundle: Bundle) -> bool:
    return subprocess.run(["flock", "-n", str(bundle.rootfs / "lock"), "true"], timeout=60, check=False).returncode == 1


def test_memory_is_sent_to_a_page_server(oci: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    start(oci, bundle.shell(COUNTER))
    past(bundle, 2)
    images = oci.directory / "images"
    images.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    criu = shutil.which("criu") or "/usr/sbin/criu"
    words = [criu, "page-server", "--images-dir", str(images), "--address", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen([*words, "-v4", "-o", str(tmp_path / "server.log")]) as server:
        try:
            eventually(lambda: _listens(port), "the page server")
            checkpoint(oci, "--page-server", f"127.0.0.1:{port}", "--auto-dedup", "--work-path", str(tmp_path / "work"))
            assert server.wait(PATIENCE) == 0
        finally:
            server.kill()
    reached = count(bundle)
    restore(oci, bundle)
    past(bundle, reached)


def _listens(port: int) -> bool:
    """A socket listens there (proc(5), /proc/net/tcp); to connect would be the page server's one connection."""
    return any(line.split()[1].endswith(f":{port:04X}") for line in Path("/proc/net/tcp").read_text().splitlines()[1:])

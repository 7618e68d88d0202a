"""Networks of an ordinary user: a way out, ports in, names, and nothing that stays behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.integration.household import IMAGE, until
from tests.integration.lodger import INSIDE, OUTSIDE, Lodger
from tests.integration.networks.host import fetch
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox", "newuidmap", "setpriv", "unshare", "ip", "nft", "pasta")]

_ASK = """
import sys
from socket import AF_INET, SOCK_DGRAM, socket
with socket(AF_INET, SOCK_DGRAM) as asking:
    asking.settimeout(1)
    asking.connect((sys.argv[1], int(sys.argv[2])))
    asking.send(b"x")
    print(asking.recv(100).decode(), end="")
"""
_ECHO = """
from socket import AF_INET, SOCK_DGRAM, socket
with socket(AF_INET, SOCK_DGRAM) as server:
    server.bind(("0.0.0.0", 53))
    print("ready", flush=True)
    said, client = server.recvfrom(100)
    server.sendto(said + b" " + client[0].encode(), client)
"""
_SERVE = "echo hello >/index.html; httpd -p 80 -h /; echo ready; exec sleep 1000"


@pytest.fixture(scope="module")
def shared() -> Iterator[Lodger]:
    lodger = Lodger()
    lodger.settle()
    yield lodger
    lodger.leave()


@pytest.fixture
def lodger(shared: Lodger) -> Iterator[Lodger]:
    yield shared
    for identifier in shared.ok("ps", "-aq").split():
        shared.ok("rm", "-fv", identifier)
    until(lambda: alive(shared) == [])
    for part in ("*/endpoints/*", "*/addresses/*", "ports/*"):
        assert list((shared.run_directory / "networks").glob(part)) == []


def alive(lodger: Lodger) -> list[int]:
    """What an ordinary user's networks need."""
    return [pid for name in ("utsuwa-gate", "utsuwa-names", "pasta", "passt", "slirp") for pid in lodger.named(name)]


def ask(enter: list[str], address: str, port: int) -> str:
    """What comes back for a datagram."""
    command = [*enter, sys.executable, "-I", "-S", "-c", _ASK, address, str(port)]
    return subprocess.run(command, capture_output=True, timeout=30, check=False).stdout.decode()


@contextlib.contextmanager
def serving(lodger: Lodger, text: str) -> Iterator[None]:
    """Port 99 of the other machine says something."""
    (lodger.directory / "index.html").write_text(text)
    command = [*lodger.elsewhere, "busybox", "httpd", "-f", "-p", "99", "-h", str(lodger.directory)]
    server = subprocess.Popen(command)
    try:
        until(lambda: fetch(lodger.elsewhere, "127.0.0.1:99") == text)
        yield
    finally:
        server.kill()
        server.wait()


def web(lodger: Lodger, *options: str) -> None:
    lodger.ok("run", "-d", "--name", "web", *options, IMAGE, "sh", "-c", _SERVE)
    until(lambda: "ready" in lodger.ok("logs", "web"))


def test_a_way_out_and_ports_in(lodger: Lodger) -> None:
    web(lodger, "-p", "8080:80", "-p", "8053:53/udp")
    with serving(lodger, "outside"):
        # pasta of Debian 12 does not tell a client that has ended its half that the other one ended as well
        script = f"mkfifo /open; exec 3<>/open; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; nc {OUTSIDE} 99 <&3"
        assert lodger.ok("run", "--rm", IMAGE, "sh", "-c", script).endswith("outside")
    for enter, address in ((lodger.here, "127.0.0.1"), (lodger.here, "[::1]"), (lodger.elsewhere, INSIDE)):
        assert fetch(enter, f"{address}:8080") == "hello\n"
    pid = lodger.ok("inspect", "-f", "{{.State.Pid}}", "web").strip()
    inside = ["nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-I", "-S", "-c", _ECHO]
    with subprocess.Popen(inside, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        assert ask(lodger.elsewhere, INSIDE, 8053) == "x 172.17.0.1"
    assert lodger.ok("port", "web", "80") == "0.0.0.0:8080\n"
    done = lodger("run", "--rm", "-p", "8080:80", IMAGE, "true")
    assert (done.returncode, b"port is already allocated" in done.stderr) == (125, True)
    done = lodger("run", "--rm", "-p", "80:80", IMAGE, "true")
    assert (done.returncode, b"ip_unprivileged_port_start" in done.stderr) == (125, True), done.stderr
    done = lodger("run", "--rm", "-p", "8081:81/sctp", IMAGE, "true")
    assert (done.returncode, b"81/sctp" in done.stderr) == (125, True), done.stderr


def test_containers_of_a_network_know_each_other(lodger: Lodger) -> None:
    lodger.ok("network", "create", "friends")
    lodger.ok("run", "-d", "--name", "one", "--network", "name=friends,alias=uno", IMAGE, "sleep", "1000")
    lodger.ok("run", "-d", "--name", "two", IMAGE, "sleep", "1000")
    lodger.ok("network", "connect", "friends", "two")
    assert "1 packets received" in lodger.ok("exec", "two", "ping", "-c", "1", "-W", "5", "uno")
    lodger.ok("network", "disconnect", "friends", "two")
    assert "eth1" not in lodger.ok("exec", "two", "ip", "address")
    lodger.ok("rm", "-f", "one")
    lodger.ok("network", "rm", "friends")


def test_killed_it_comes_back_and_ends_with_the_last(lodger: Lodger) -> None:
    web(lodger, "-p", "8080:80")
    assert fetch(lodger.here, "127.0.0.1:8080") == "hello\n"
    (gate,) = lodger.named("utsuwa-gate")
    (uplink,) = lodger.named("passt") or lodger.named("pasta")
    os.kill(gate, signal.SIGKILL)
    until(lambda: uplink not in lodger.named("pas"))
    assert "web" in lodger.ok("ps")
    assert fetch(lodger.here, "127.0.0.1:8080") == "hello\n"
    for pid in (*lodger._family(), int(lodger.ok("inspect", "-f", "{{.State.Pid}}", "web"))):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: "web" not in lodger.ok("ps"))
    until(lambda: alive(lodger) == [])

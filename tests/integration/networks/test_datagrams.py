"""Ports of UDP: from everywhere, and for clients that have asked before there was anybody."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from tests.integration.household import IMAGE
from tests.integration.networks.host import Host
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox", "nft", "ip")]

_SERVER = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 9))
print("ready", flush=True)
while True:
    server.sendto(sys.argv[1].encode(), server.recvfrom(99)[1])
"""
_CLIENT = """
import socket, sys
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.connect((sys.argv[1], 9009))
for line in sys.stdin:
    client.settimeout(float(line))
    try:
        client.send(b"who?")
        print(client.recv(99).decode(), flush=True)
    except OSError:
        print("nobody", flush=True)
"""


class Client:
    """A process with one socket, which asks again and again."""

    def __init__(self, enter: list[str], address: str) -> None:
        command = [*enter, sys.executable, "-I", "-S", "-c", _CLIENT, address]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def asks(self, patience: float = 5) -> str:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{patience}\n".encode())
        self._process.stdin.flush()
        return self._process.stdout.readline().decode().strip()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def serving(host: Host, name: str) -> Iterator[None]:
    host.ok("run", "-d", "--name", name, "-p", "9009:9/udp", IMAGE, "sleep", "1000")
    inside = f"--net=/proc/{host.inspect(name)['State']['Pid']}/ns/net"
    server = subprocess.Popen(
        ["nsenter", inside, sys.executable, "-I", "-S", "-c", _SERVER, name], stdout=subprocess.PIPE
    )
    try:
        assert server.stdout and server.stdout.readline() == b"ready\n"
        yield
    finally:
        server.kill()
        server.communicate()


def test_clients_come_to_whoever_has_the_port_now(host: Host) -> None:
    with host.neighbour() as elsewhere:
        clients = [Client(host.enter, "127.0.0.1"), Client(host.enter, "192.0.2.1"), Client(elsewhere, "192.0.2.1")]
        try:
            assert [client.asks(0.1) for client in clients] == ["nobody"] * 3
            with serving(host, "first"):
                assert "0.0.0.0:9009->9/udp" in host.ok("ps")
                assert [client.asks() for client in clients] == ["first"] * 3
                host.ok("network", "create", "else")
                host.ok("run", "--rm", "--network", "else", IMAGE, "true")
                assert [client.asks() for client in clients] == ["first"] * 3
                host.ok("rm", "-f", "first")
            assert [client.asks(0.1) for client in clients] == ["nobody"] * 3
            with serving(host, "second"):
                assert [client.asks() for client in clients] == ["second"] * 3
                host.there("nft", "flush", "ruleset")
                host.ok("run", "--rm", IMAGE, "true")
                assert [client.asks() for client in clients] == ["second"] * 3
        finally:
            for client in clients:
                client.end()

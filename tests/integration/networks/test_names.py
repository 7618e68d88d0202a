"""Names of containers, asked for by real programs."""

from __future__ import annotations

import subprocess
import sys

from tests.integration.household import IMAGE
from tests.integration.networks.host import Host
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox", "nft", "ip")]

_NAME_SERVER = """
import socket
from threading import Thread
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("", 53))
streams = socket.create_server(("", 53))
def answer(data):
    record = bytes.fromhex("c00c00010001000000010004c0000207")
    return data[:2] + bytes((0x81, 0x80)) + data[4:6] * 2 + bytes(4) + data[12:] + record
def serve():
    while True:
        connection = streams.accept()[0]
        said = answer(connection.recv(999)[2:])
        connection.sendall(len(said).to_bytes(2, "big") + said)
        connection.close()
Thread(target=serve, daemon=True).start()
print("ready", flush=True)
while True:
    data, client = datagrams.recvfrom(999)
    datagrams.sendto(answer(data), client)
"""
_ASK = """
import socket, sys
name = sys.argv[1].encode()
asked = bytes.fromhex("123401000001000000000000") + bytes((len(name),)) + name + bytes((0, 0, 1, 0, 1))
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.settimeout(5)
datagrams.connect(("127.0.0.11", 53))
datagrams.send(asked)
said = datagrams.recv(999)
stream = socket.create_connection(("127.0.0.11", 53), 5)
stream.sendall(len(asked).to_bytes(2, "big") + asked)
assert stream.recv(999)[2:] == said
print(socket.inet_ntoa(said[-4:]))
"""


def test_names_are_answered_where_everybody_looks_for_them(host: Host) -> None:
    host.there("ip", "addr", "replace", "192.0.2.53/32", "dev", "lo")
    server = subprocess.Popen([*host.enter, sys.executable, "-I", "-S", "-c", _NAME_SERVER], stdout=subprocess.PIPE)
    try:
        assert server.stdout and server.stdout.readline() == b"ready\n"  # a server of the host's is not in the way

        def asked(container: str, name: str) -> str:
            inside = f"--net=/proc/{host.inspect(container)['State']['Pid']}/ns/net"
            command = ["nsenter", inside, sys.executable, "-I", "-S", "-c", _ASK, name]
            return subprocess.run(command, capture_output=True, timeout=30, check=False).stdout.decode().strip()

        for words in (["one"], ["--internal", "two"]):
            host.ok("network", "create", *words)
        host.ok("run", "-d", "--name", "cc", "--network", "one", "--dns", "192.0.2.53", IMAGE, "nc", "-l", "-p", "53")
        host.ok("run", "-d", "--name", "dd", "--network", "two", IMAGE, "sleep", "1000")
        assert "nameserver 127.0.0.11\n" in host.ok("exec", "cc", "cat", "/etc/resolv.conf")
        assert asked("cc", "cc") == host.address("cc", "one")
        assert asked("cc", "elsewhere") == "192.0.2.7"
        assert asked("dd", "dd") == host.address("dd", "two")
        # by way of another network, when the one that it went by is gone
        host.ok("network", "connect", "two", "cc")
        host.ok("network", "disconnect", "one", "cc")
        assert asked("cc", "dd") == host.address("dd", "two")
        listens = host.ok("exec", "cc", "busybox", "netstat", "-tln")
        assert ":53 " in listens  # a server of the container's own is not in the way either
    finally:
        server.kill()
        server.communicate()

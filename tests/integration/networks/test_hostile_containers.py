"""Containers that ask the resolver for others, or for all the others; and one that calls itself the host's router."""

from __future__ import annotations

import subprocess
import sys

from tests.integration.household import IMAGE
from tests.integration.networks.host import Host
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox", "nft", "ip")]

_SERVER = """
import socket
silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
silent.bind(("192.0.2.54", 53))
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("192.0.2.53", 53))
print("ready", flush=True)
while True:
    data, client = server.recvfrom(999)
    server.sendto(data[:2] + bytes((0x81, 0x80)) + data[4:6] * 2 + bytes(4) + data[12:]
                  + bytes.fromhex("c00c00010001000000010004c0000207"), client)
"""
_ASK = """
import socket, sys
def asked(name):
    return bytes.fromhex("123401000001000000000000") + bytes((len(name),)) + name + bytes((0, 0, 1, 0, 1))
server, port, source, times = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.settimeout(10)
datagrams.bind((source, 0))
for number in range(times):
    datagrams.sendto(asked(b"silent"), (server, port))
    if number % 20 == 19:  # what is known here is answered at once: then all of the others were taken
        datagrams.sendto(asked(b"flood"), (server, port))
        datagrams.recv(999)
if not times:
    datagrams.sendto(asked(b"elsewhere"), (server, port))
    print(datagrams.recv(999)[3] & 15)
"""
FINE, NO_SUCH_NAME, REFUSED = "0", "3", "5"


def test_nobody_asks_in_the_name_of_others_or_instead_of_them(host: Host) -> None:
    """CVE-2024-29018 by another way: a container without a way out asks from an address that is nobody's (or somebody's
    in another network), and the question went to servers elsewhere. Proven: it did, neighbours' of the host as well.
    And the questions of one container to a silent server left no place for others': Proven, the last was not answered.
    """
    for address in ("192.0.2.53", "192.0.2.54"):
        host.there("ip", "addr", "replace", f"{address}/32", "dev", "lo")
    server = subprocess.Popen([*host.enter, sys.executable, "-I", "-S", "-c", _SERVER], stdout=subprocess.PIPE)
    try:
        assert server.stdout and server.stdout.readline() == b"ready\n"
        for words in (["--internal", "--subnet", "10.77.0.0/24", "inner"], ["--subnet", "10.78.0.0/24", "outer"]):
            host.ok("network", "create", *words)
        for name, network, asks in (
            ("prisoner", "inner", "53"),
            ("flood", "outer", "54"),
            ("fine", "outer", "53"),
            ("both", "inner", "53"),
        ):
            more = ("--network", network, "--dns", f"192.0.2.{asks}")
            host.ok("run", "-d", "--name", name, *more, IMAGE, "sleep", "1000")
        host.ok("network", "connect", "outer", "both")

        def inside(name: str) -> list[str]:
            return ["nsenter", f"--net=/proc/{host.inspect(name)['State']['Pid']}/ns/net"]

        def ask(enter: list[str], where: str, source: str = "", times: int = 0, port: int = 1253) -> str:
            command = [*enter, sys.executable, "-I", "-S", "-c", _ASK, where, str(port), source, str(times)]
            done = subprocess.run(command, capture_output=True, timeout=60, check=False)
            assert not done.stderr, done.stderr.decode()
            return done.stdout.decode().strip()

        assert ask(inside("prisoner"), "10.77.0.1") == NO_SUCH_NAME
        for feigned in ("10.77.0.200", host.address("fine", "outer")):
            subprocess.run([*inside("prisoner"), "ip", "addr", "add", f"{feigned}/24", "dev", "eth0"], check=True)
            subprocess.run([*host.enter, "ip", "route", "add", f"{feigned}/32", "via", "10.77.0.2"], check=False)
            assert ask(inside("prisoner"), "10.77.0.1", feigned) == REFUSED
            host.there("ip", "route", "del", f"{feigned}/32")
        assert ask(host.enter, "10.78.0.1") == REFUSED
        assert ask(inside("both"), "127.0.0.11", port=53) == FINE  # by way of the network that leads out
        ask(inside("flood"), "10.78.0.1", times=600)
        assert ask(inside("fine"), "10.78.0.1") == FINE
    finally:
        server.kill()
        server.communicate()


_ADVERTISE = """
import socket
from struct import pack, unpack
source, everybody = bytes.fromhex("fe80" + "00" * 12 + "abcd"), bytes.fromhex("ff02" + "00" * 13 + "01")
prefix = pack(">BBBBIII", 3, 4, 64, 0xC0, 86400, 86400, 0) + bytes.fromhex("20010db8beef" + "00" * 10)
body = pack(">BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix
covered = source + everybody + pack(">II", len(body), 58) + body
total = sum(unpack(f">{len(covered) // 2}H", covered))
while total >> 16:
    total = (total & 0xFFFF) + (total >> 16)
body = body[:2] + pack(">H", ~total & 0xFFFF) + body[4:]
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("eth0", 0))
head = bytes.fromhex("333300000001" + "02420a4e0002" + "86dd") + pack(">IHBB", 0x60000000, len(body), 58, 255)
wire.send(head + source + everybody + body)
"""


def test_a_container_is_no_router_of_the_host(host: Host) -> None:
    """CVE-2020-13401. Proven: the host had an address, and its way out, from a container of each network."""
    host.ok("network", "create", "four")
    host.ok("network", "create", "--ipv6", "--subnet", "10.78.0.0/24", "--subnet", "fd00:78::/64", "six")
    for network in ("four", "six"):
        host.ok("run", "-d", "--name", f"in-{network}", "--network", network, IMAGE, "sleep", "1000")
    for network in ("four", "six"):
        inside = f"--net=/proc/{host.inspect(f'in-{network}')['State']['Pid']}/ns/net"
        subprocess.run(["nsenter", inside, sys.executable, "-I", "-S", "-c", _ADVERTISE], check=True)
    assert "fd00:78::/64" in host.there("ip", "-6", "route")
    assert "2001:db8:beef" not in host.there("ip", "-6", "addr") + host.there("ip", "-6", "route")
    assert "default" not in host.there("ip", "-6", "route")

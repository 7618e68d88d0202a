"""Messages of the domain name system, and who is told what."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import pytest

from utsuwa.network import dns
from utsuwa.network.directory import Directory
from utsuwa.network.records import Endpoint, Network, Pool
from utsuwa.network.state import Places, write


def question(name: str, kind: int = dns.A, further: bytes = b"") -> bytes:
    head = struct.pack(">HHHHHH", 0x1234, 0x0100, 1, 0, 0, 1 if further else 0)
    return head + dns.wire_name(name) + struct.pack(">HH", kind, 1) + further


def test_a_question_and_its_answer() -> None:
    asked = dns.Question(question("Web.Example"))
    assert (asked.number, asked.name, asked.kind, asked.room) == (0x1234, "web.example", dns.A, 512)
    answer = asked.answer(dns.NO_ERROR, [(dns.A, bytes((10, 0, 0, 7)))], 512)
    number, flags, questions, answers, _, _ = struct.unpack(">HHHHHH", answer[:12])
    assert (number, flags, questions, answers) == (0x1234, 0x8180, 1, 1)
    assert answer.endswith(struct.pack(">HHHIH", 0xC00C, dns.A, 1, 600, 4) + bytes((10, 0, 0, 7)))


def test_what_has_no_room_is_cut() -> None:
    answer = dns.Question(question("many")).answer(dns.NO_ERROR, [(dns.A, bytes(4))] * 40, 512)
    assert len(answer) < 512
    assert answer[2] & 0x02
    assert answer[6:8] == b"\0\0"


def test_the_room_that_a_client_offers() -> None:
    offer = b"\0" + struct.pack(">HHIH", dns.OPT, 1400, 0, 0)
    assert dns.Question(question("big", further=offer)).room == 1400


@pytest.mark.parametrize("cut", range(0, 25, 3))
def test_what_is_cut_short_is_no_question(cut: int) -> None:
    with pytest.raises(ValueError, match=r"cut short|no question"):
        dns.Question(question("web.example.org")[:cut])


def test_noise_is_no_question() -> None:
    for _ in range(500):
        try:
            dns.Question(os.urandom(40)).answer(0, [], 512)
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("7.0.0.10.in-addr.arpa", "10.0.0.7"),
        ("0.10.in-addr.arpa", ""),
        (".".join(reversed("fd00" + "0" * 27 + "2")) + ".ip6.arpa", "fd00::2"),
        ("x.y.z.w.in-addr.arpa", ""),
        ("example.org", ""),
    ],
)
def test_names_of_addresses(name: str, address: str) -> None:
    assert dns.reversed_address(name) == address


def resident(places: Places, network: str, container: str, name: str, address: str, *, embedded: bool = False) -> None:
    os.makedirs(f"{places.run}/{network}/endpoints", exist_ok=True)
    endpoint = Endpoint(
        id="e", container=container, network=network, interface="eth0", veth="v", mac="", names=(name,),
        addresses=(f"{address}/24",), resolver=True, embedded=embedded, dns=("192.0.2.53",) if name == "picky" else (),
    )  # fmt: skip
    write(places.endpoint(network, container), endpoint)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places(str(tmp_path / "root"), str(tmp_path / "run"))
    os.makedirs(found.root)
    for letter, internal in (("a", False), ("b", False), ("c", True)):
        pool = Pool(subnet=f"10.0.{ord(letter)}.0/24", gateway=f"10.0.{ord(letter)}.1")
        network = Network(id=letter * 64, name=letter, createdAt="", pools=(pool,), internal=internal)
        write(f"{found.root}/{network.id}.json", network)
    return found


def told(directory: Directory, source: str, name: str) -> str | None:
    answer = directory.answer(source, dns.Question(question(name)), 512)
    return None if answer is None else socket.inet_ntoa(answer[-4:])


def test_who_sees_whom(places: Places) -> None:
    resident(places, "a" * 64, "1" * 64, "one", "10.0.97.2")
    resident(places, "a" * 64, "2" * 64, "two", "10.0.97.3")
    resident(places, "b" * 64, "2" * 64, "two", "10.0.98.2")
    resident(places, "b" * 64, "3" * 64, "picky", "10.0.98.3")
    resident(places, "c" * 64, "4" * 64, "four", "10.0.99.2")
    directory = Directory(places)
    directory.refresh()
    assert told(directory, "10.0.97.2", "two") == "10.0.97.3"
    assert told(directory, "10.0.97.2", "TWO.a") == "10.0.97.3"
    assert told(directory, "10.0.97.2", "picky") is None
    assert told(directory, "10.0.97.3", "picky") == "10.0.98.3"
    assert told(directory, "192.0.2.1", "one") is None
    assert directory.upstream("10.0.97.2", "10.0.97.1") == []
    assert directory.upstream("10.0.98.3", "10.0.98.1") == ["192.0.2.53"]
    for feigned in ("10.0.99.2", "10.0.99.9", "10.0.97.2"):  # in an internal network, whoever it seems to be
        assert directory.upstream(feigned, "10.0.99.1") is None
    assert directory.admits("10.0.99.2", "10.0.99.1")
    assert not any(directory.admits(source, "10.0.99.1") for source in ("10.0.99.9", "10.0.97.2", "fe80::1%eth0"))
    assert directory.listeners() == {("10.0.97.1", 53), ("10.0.98.1", 53), ("10.0.99.1", 53)}
    resident(places, "c" * 64, "4" * 64, "four", "10.0.99.2", embedded=True)
    os.utime(f"{places.run}/{'c' * 64}/endpoints", (1, 1))
    directory.refresh()
    assert directory.listeners() == {("10.0.97.1", 53), ("10.0.98.1", 53), ("10.0.99.1", 1253)}
    resident(places, "a" * 64, "5" * 64, "five", "10.0.97.9")
    directory.refresh()
    assert told(directory, "10.0.97.2", "five") == "10.0.97.9"

"""What is typed about networks."""

from __future__ import annotations

import pytest

from utsuwa.errors import Error, InvalidArgument
from utsuwa.spec import network_flags as flags
from utsuwa.spec.request import NetworkWish, PublishedPort


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", [PublishedPort(port=80)]),
        ("8080:80", [PublishedPort(port=80, host_port=8080)]),
        ("127.0.0.1:8080:80/udp", [PublishedPort(port=80, protocol="udp", host_ip="127.0.0.1", host_port=8080)]),
        ("127.0.0.1::80", [PublishedPort(port=80, host_ip="127.0.0.1")]),
        ("[::1]:8080:80", [PublishedPort(port=80, host_ip="::1", host_port=8080)]),
        ("80-81:90-91", [PublishedPort(port=90, host_port=80), PublishedPort(port=91, host_port=81)]),
        ("target=80,published=8080", [PublishedPort(port=80, host_port=8080)]),
    ],
)
def test_published_ports(text: str, expected: list[PublishedPort]) -> None:
    assert flags.parse_publish(text) == expected


@pytest.mark.parametrize(
    "text", ["", "http", "80:", "0:80", "80:65536", "1-2:3-5", "80/quic", "x:80:80", "90-80", "8000-8010:80", "a=b"]
)
def test_what_can_not_be_published(text: str) -> None:
    with pytest.raises(Error):
        flags.parse_publish(text)


def test_exposed_ports() -> None:
    assert flags.parse_expose("80-82/UDP") == ["80/udp", "81/udp", "82/udp"]
    with pytest.raises(InvalidArgument, match="invalid proto: x"):
        flags.parse_expose("80/x")


def test_networks_by_name_and_by_fields() -> None:
    assert flags.parse_network("web") == NetworkWish(network="web")
    assert flags.parse_network("name=web,alias=a,alias=b,ip=10.0.0.7,ip6=FD00::7") == NetworkWish(
        network="web", aliases=("a", "b"), ip="10.0.0.7", ip6="fd00::7"
    )
    for text in ("", "alias=x", "name=web,colour=red", "name=web,ip=fd00::1", "name=web,mac-address=01:00:00:00:00:00"):
        with pytest.raises(InvalidArgument):
            flags.parse_network(text)


def test_added_hosts() -> None:
    assert flags.parse_add_host("build:192.0.2.5") == "build:192.0.2.5"
    assert flags.parse_add_host("six=[fd00::1]") == "six:fd00::1"
    assert flags.parse_add_host("host:host-gateway") == "host:host-gateway"
    for text in ("build", "build:", "build:nowhere", ":192.0.2.1", "two words:192.0.2.1"):
        with pytest.raises(InvalidArgument):
            flags.parse_add_host(text)


def test_a_word_is_one_word() -> None:
    with pytest.raises(InvalidArgument):
        flags.parse_dns_word("a\nnameserver 192.0.2.66", "dns-search")

"""Rules and addresses as text and numbers: nothing here touches the kernel."""

from __future__ import annotations

import pytest

from utsuwa.errors import InvalidArgument
from utsuwa.network import addresses, files, flows, ruleset
from utsuwa.network.records import Endpoint, Network, Plugs, Pool
from utsuwa.spec.request import PublishedPort


def network(**more: object) -> Network:
    pools = (Pool(subnet="10.1.0.0/16", gateway="10.1.0.1"), Pool(subnet="fd00::/64", gateway="fd00::1"))
    return Network(id="a" * 64, name="n", createdAt="", bridge="ut-n", pools=pools, **more)  # type: ignore[arg-type]


def test_elements_of_a_network() -> None:
    assert ruleset.of_network(network()) == [
        ("open", '"ut-n"', ""),
        ("same", '"ut-n" . "ut-n"', ""),
        ("home4", '10.1.0.0/16 . "ut-n"', ""),
        ("nets4", "10.1.0.0/16", ""),
        ("home6", 'fd00::/64 . "ut-n"', ""),
        ("nets6", "fd00::/64", ""),
    ]
    assert {name for name, _, _ in ruleset.of_network(network(internal=True))} == {"closed", "same", "home4", "home6"}


@pytest.mark.parametrize(
    ("host_ip", "expected"),
    [
        ("", [("any4", "tcp . 8080", "10.1.0.2 . 80"), ("any6", "tcp . 8080", "fd00::2 . 80")]),
        ("0.0.0.0", [("any4", "tcp . 8080", "10.1.0.2 . 80")]),
        ("::", [("any6", "tcp . 8080", "fd00::2 . 80")]),
        ("127.0.0.1", [("one4", "127.0.0.1 . tcp . 8080", "10.1.0.2 . 80")]),
        ("fd01::9", [("one6", "fd01::9 . tcp . 8080", "fd00::2 . 80")]),
    ],
)
def test_elements_of_a_port(host_ip: str, expected: list[tuple[str, str, str]]) -> None:
    port = PublishedPort(port=80, host_ip=host_ip, host_port=8080)
    assert ruleset.of_port(port, ["10.1.0.2", "fd00::2"]) == expected


def test_removing_does_not_depend_on_its_being_there() -> None:
    element = ("any4", "tcp . 80", "10.1.0.2 . 80")
    assert ruleset.removing(element) == (
        "add element inet utsuwa any4 { tcp . 80 : 10.1.0.2 . 80 }\ndelete element inet utsuwa any4 { tcp . 80 }\n"
    )


def test_only_our_table_is_named() -> None:
    lines = ruleset.foundation().splitlines()
    assert lines[0] == "create table inet utsuwa"
    assert all(" inet utsuwa" in line for line in lines)


def test_subnets() -> None:
    found = addresses.subnet("10.1.2.3/16")
    assert str(found) == "10.1.0.0/16"
    assert "10.1.255.255" in found
    assert "10.2.0.0" not in found
    assert "fd00::1" not in found
    assert found.overlaps(addresses.subnet("10.1.9.0/24"))
    assert not found.overlaps(addresses.subnet("10.0.0.0/16"))
    assert addresses.canonical("FD00:0:0::1") == "fd00::1"


@pytest.mark.parametrize("text", ["10.0.0.0", "10.0.0.0/33", "10.0.0/8", "x/8", "fd00::/129", "10.0.0.0/-1", "::/x"])
def test_what_is_no_subnet(text: str) -> None:
    with pytest.raises(InvalidArgument):
        addresses.subnet(text)


def test_files_of_a_container() -> None:
    plugs = Plugs(hostname="web", domainname="example.org", hosts=("host:host-gateway", "six:[fd00::9]"))
    endpoint = Endpoint(
        id="", container="", network="", interface="eth0", veth="", mac="", addresses=("10.1.0.2/16", "fd00::2/64")
    )
    lines = files.hosts(plugs, [endpoint], "10.1.0.1").splitlines()[-4:]
    assert lines == ["10.1.0.1\thost", "fd00::9\tsix", "10.1.0.2\tweb.example.org web", "fd00::2\tweb.example.org web"]
    host = files.Resolution("# c\nnameserver 192.0.2.1\nsearch a b\noptions ndots:2\n")
    assert files.resolv_conf(Plugs(), host, ["10.1.0.1"], True) == "nameserver 10.1.0.1\nsearch a b\noptions ndots:2\n"
    bare = files.resolv_conf(Plugs(dns_search=(".",)), files.Resolution(""), ["10.1.0.1"], True)
    assert bare == "nameserver 10.1.0.1\noptions ndots:0\n"


def test_a_kernel_that_tells_nothing_of_its_connections_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(93, "Protocol not supported")

    monkeypatch.setattr(flows, "Connections", refuse)
    flows.redirect((PublishedPort(port=53, protocol="udp", host_port=53),), [])
    monkeypatch.setattr(flows, "Route", None)
    flows.redirect((PublishedPort(port=80, host_port=80),), [])  # of TCP nothing is looked at

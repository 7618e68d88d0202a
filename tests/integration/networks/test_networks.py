"""Networks of containers, in a network namespace of their own: forkserver, bridges and rules go with it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess

import pytest

from tests.integration.household import IMAGE, until
from tests.integration.networks.host import Host, fetch, web
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox", "nft", "ip")]


def test_the_default_network_is_a_bridge(host: Host) -> None:
    host.ok("run", "-d", "--name", "one", IMAGE, "sleep", "1000")
    shown = host.inspect("one")
    place = shown["NetworkSettings"]["Networks"]["bridge"]
    assert shown["HostConfig"]["NetworkMode"] == "bridge"
    assert place["IPAddress"].startswith("172.17.0.")
    assert place["Gateway"] == "172.17.0.1"
    assert f"{place['IPAddress']}\t{shown['Id'][:12]}" in host.ok("exec", "one", "cat", "/etc/hosts")
    assert place["MacAddress"] in host.ok("exec", "one", "ip", "link", "show", "eth0")
    assert "default via 172.17.0.1" in host.ok("exec", "one", "ip", "route")
    host.ok("run", "--rm", IMAGE, "ping", "-c", "1", "-W", "3", place["IPAddress"])
    assert host("run", "--rm", "--network", "none", IMAGE, "ping", "-c", "1", "-W", "1", place["IPAddress"]).returncode


def test_a_process_that_fails_while_it_is_connected_says_why(host: Host) -> None:
    """It may be gone before its interface is there, or after."""
    for _ in range(6):
        done = host("run", "--rm", "-u", "nobody-here", IMAGE, "true")
        assert (done.returncode, done.stderr) == (
            125,
            b"utsuwa: unable to find user nobody-here: no matching entries in passwd file\n",
        )


def test_addresses_are_not_used_twice_and_come_back(host: Host) -> None:
    host.ok("network", "create", "--subnet", "10.99.0.0/29", "small")
    for number in range(5):  # of 8 addresses the network, its broadcast and the gateway are no container's
        host.ok("run", "-d", "--name", f"cc{number}", "--network", "small", IMAGE, "sleep", "1000")
    places = json.loads(host.ok("network", "inspect", "small"))[0]["Containers"].values()
    assert len({place["IPv4Address"] for place in places}) == 5
    done = host("run", "--rm", "--network", "small", IMAGE, "true")
    assert done.returncode == 125
    assert b"no available addresses on network small" in done.stderr
    freed = host.address("cc3", "small")
    host.ok("rm", "-f", "cc3")
    host.ok("run", "-d", "--name", "last", "--network", "small", IMAGE, "sleep", "1000")
    assert host.address("last", "small") == freed


def test_names_and_aliases_in_a_network_of_both_versions(host: Host) -> None:
    host.ok("network", "create", "--ipv6", "both")
    web(host, "server", "--network", "both", "--network-alias", "web", text="found")
    host.ok("run", "-d", "--name", "client", "--network", "both", IMAGE, "sleep", "1000")
    six = host.address("server", "both", "GlobalIPv6Address")
    for name in ("server", "web", "server.both", host.inspect("server")["Id"][:12]):
        assert set(host.resolve("client", name)) == {host.address("server", "both"), six}
    for address in host.resolve("client", "server"):
        assert host.fetch_from("client", f"{address}:80") == "found\n"
    host.ok("exec", "client", "ping", "-c", "1", "-W", "3", host.resolve("client", "client")[0])
    assert "server.both" in host.ok("exec", "client", "busybox", "nslookup", host.address("server", "both"))
    host.ok("rename", "server", "renamed")
    assert six in host.resolve("client", "renamed")
    host.ok("network", "create", "else")
    host.ok("run", "-d", "--name", "other", "--network", "else", IMAGE, "sleep", "1000")
    assert host.resolve("other", "other") == [host.address("other", "else")]
    assert host.resolve("other", "renamed.both") == []


def test_published_ports_are_reached_from_everywhere(host: Host) -> None:
    web(host, "web", "-p", "127.0.0.1:8080:80", "-p", "8081:80", "-p", "80", text="published")
    bound = host.ok("port", "web", "80").split()
    chosen = next(line.rpartition(":")[2] for line in bound if not line.endswith((":8080", ":8081")))
    assert {"127.0.0.1:8080", "0.0.0.0:8081", f"0.0.0.0:{chosen}"} == set(bound)
    assert "0.0.0.0:8081->80/tcp" in host.ok("ps")
    ports = host.inspect("web")["NetworkSettings"]["Ports"]["80/tcp"]
    assert {"HostIp": "127.0.0.1", "HostPort": "8080"} in ports
    for url in ("127.0.0.1:8080", "127.0.0.1:8081", "172.17.0.1:8081", f"127.0.0.1:{chosen}"):
        assert host.fetch(f"{url}") == "published\n"
    assert host.fetch("172.17.0.1:8080") == ""
    assert host.fetch("[::1]:8081") == ""
    # itself, by way of the host; and a neighbour beyond another interface
    assert host.fetch_from("web", "172.17.0.1:8081") == "published\n"
    with host.neighbour() as inside:
        assert fetch(inside, "192.0.2.1:8081") == "published\n"
        assert fetch(inside, "192.0.2.1:8080", 0.3) == ""
        assert fetch(inside, f"{host.address('web')}:80", 0.3) == ""  # what is not published stays inside
        host.ok("exec", "web", "ping", "-c", "1", "-W", "3", "192.0.2.2")  # and the way out is open
    done = host("run", "--rm", "-p", "8081:80", IMAGE, "true")
    assert done.returncode == 125
    assert b"Bind for 0.0.0.0:8081 failed: port is already allocated" in done.stderr
    host.ok("rm", "-f", "web")
    assert host.left() == []
    assert host.fetch("127.0.0.1:8081") == ""


def test_published_ports_of_version_6(host: Host) -> None:
    host.ok("network", "create", "--ipv6", "--subnet", "fd00:99::/64", "six")
    web(host, "web", "--network", "six", "-p", "8082:80", text="six")
    assert host.address("web", "six", "GlobalIPv6Address") == "fd00:99::2"
    assert "[::]:8082->80/tcp" in host.ok("ps")
    assert host.fetch("[fd00:99::1]:8082") == "six\n"
    assert host.fetch("127.0.0.1:8082") == "six\n"


def test_an_internal_network_has_no_way_out_and_none_in(host: Host) -> None:
    host.ok("network", "create", "--internal", "--subnet", "10.98.0.0/24", "inner")
    host.ok("network", "create", "--subnet", "10.97.0.0/24", "outer")
    web(host, "open", "--network", "outer", "-p", "8083:80")
    host.ok("run", "-d", "--name", "shut", "--network", "inner", IMAGE, "sleep", "1000")
    host.ok("run", "-d", "--name", "mate", "--network", "inner", IMAGE, "sleep", "1000")
    assert "default" not in host.ok("exec", "shut", "ip", "route")
    assert host.resolve("shut", "mate") == [host.address("mate", "inner")]
    assert host.resolve("shut", "example.org") == []
    host.ok("exec", "shut", "ping", "-c", "1", "-W", "3", host.address("mate", "inner"))
    host("exec", "--privileged", "shut", "ip", "route", "replace", "default", "via", "10.98.0.1")
    pairs = (("shut", host.address("open", "outer")), ("shut", "192.0.2.9"), ("open", host.address("shut", "inner")))
    asking = [host.begin("exec", name, "ping", "-c", "1", "-W", "1", target) for name, target in pairs]
    assert b"1 packets transmitted, 0 packets received" in asking[0].communicate()[0]
    assert all(each.wait() != 0 and each.communicate() for each in asking)
    assert host.fetch_from("shut", "10.98.0.1:8083", 0.5) == ""
    assert host.fetch("127.0.0.1:8083") == "hello\n"


def test_connected_and_disconnected_while_it_runs(host: Host) -> None:
    host.ok("network", "create", "first")
    host.ok("network", "create", "second")
    host.ok("run", "-d", "--name", "mover", "--network", "first", IMAGE, "sleep", "1000")
    host.ok("run", "-d", "--name", "stays", "--network", "second", IMAGE, "sleep", "1000")
    target = host.address("stays", "second")
    ping = ("exec", "mover", "ping", "-c", "1", "-W")
    assert host(*ping, "1", target).returncode != 0
    host.ok("network", "connect", "--alias", "guest", "second", "mover")
    host.ok(*ping, "3", target)
    assert host.resolve("mover", "stays") == [target]
    assert host.resolve("stays", "guest") == [host.address("mover", "second")]
    assert set(host.inspect("mover")["NetworkSettings"]["Networks"]) == {"first", "second"}
    assert b"already exists in network second" in host("network", "connect", "second", "mover").stderr
    assert b"has active endpoints" in host("network", "rm", "second").stderr
    assert "eth0" in host.ok("exec", "mover", "ip", "route", "show", "default")
    host.ok("network", "disconnect", "second", "mover")
    further = ("--gw-priority", "7", "--link-local-ip", "169.254.9.9", "--alias", "guest")
    host.ok("network", "connect", *further, "second", "mover")
    assert "eth1" in host.ok("exec", "mover", "ip", "route", "show", "default")
    assert "inet 169.254.9.9/16" in host.ok("exec", "mover", "ip", "addr")
    place = host.inspect("mover")["NetworkSettings"]["Networks"]["second"]
    assert (place["GwPriority"], place["IPAMConfig"]) == (7, {"LinkLocalIPs": ["169.254.9.9"]})
    for name in ("first", "second", host.ok("network", "ls", "-q", "--filter", "name=second").strip()):
        assert "mover" in host.ok("ps", "--filter", f"network={name}", "--format", "{{.Names}}").split()
    assert host.ok("ps", "--filter", "name=mover", "--format", "{{.Networks}}") == "first,second\n"
    host.ok("network", "disconnect", "first", "mover")
    assert host.ok("ps", "-q", "--filter", "network=first") == ""
    assert "eth0" not in host.ok("exec", "mover", "ip", "link")
    assert "eth1" in host.ok("exec", "mover", "ip", "route", "show", "default")
    host.ok(*ping, "3", target)
    host.ok("stop", "-t", "0", "mover")
    host.ok("start", "mover")
    assert list(host.inspect("mover")["NetworkSettings"]["Networks"]) == ["second"]
    assert host.resolve("stays", "mover") == [host.address("mover", "second")]
    host.ok(*ping, "3", target)
    host.ok("network", "rm", "first")


def test_in_the_network_of_another_container(host: Host) -> None:
    web(host, "owner", "-p", "8084:80")
    seen = host.ok("run", "--rm", "--network", "container:owner", IMAGE, "wget", "-q", "-O", "-", "http://127.0.0.1/")
    assert seen == "hello\n"
    host.ok("stop", "-t", "0", "owner")
    done = host("run", "--rm", "--network", "container:owner", IMAGE, "true")
    assert b"cannot join network of a non running container" in done.stderr


def test_fixed_addresses_and_the_files_in_etc(host: Host) -> None:
    host.ok("network", "create", "--subnet", "10.96.0.0/24", "--ip-range", "10.96.0.128/25", "fixed")
    host.ok(
        *("run", "-d", "--name", "one", "--network", "name=fixed,ip=10.96.0.7,mac-address=02:00:00:00:00:07"),
        *("--add-host", "build:192.0.2.5", "--add-host", "host:host-gateway", "--dns", "192.0.2.53"),
        *("--dns-search", "example.org", "--dns-option", "timeout:1", "--hostname", "called", IMAGE, "sleep", "1000"),
    )
    assert host.address("one", "fixed") == "10.96.0.7"
    assert host.address("one", "fixed", "MacAddress") == "02:00:00:00:00:07"
    hosts = host.ok("exec", "one", "cat", "/etc/hosts")
    assert "192.0.2.5\tbuild\n10.96.0.1\thost\n10.96.0.7\tcalled\n" in hosts
    resolv = host.ok("exec", "one", "cat", "/etc/resolv.conf")
    assert resolv == "nameserver 127.0.0.11\nsearch example.org\noptions timeout:1 ndots:0\n"
    host.ok("run", "-d", "--name", "two", "--network", "fixed", IMAGE, "sleep", "1000")
    assert host.address("two", "fixed") == "10.96.0.128"
    assert b"Address already in use" in host("run", "--network", "fixed", "--ip", "10.96.0.7", IMAGE, "true").stderr
    outside = host("run", "--network", "fixed", "--ip", "10.95.0.7", IMAGE, "true").stderr
    assert b"no configured subnet or ip-range contain the IP address 10.95.0.7" in outside
    words = (
        "--dns",
        "192.0.2.54",
        "--dns-search",
        "example.org",
        "--dns-opt",
        "timeout:1",
        "--add-host",
        "x=192.0.2.6",
    )
    for mode in ("none", "host"):
        said = host.ok("run", "--rm", "--network", mode, *words, IMAGE, "cat", "/etc/resolv.conf", "/etc/hosts")
        assert said.startswith("nameserver 192.0.2.54\nsearch example.org\noptions timeout:1\n")
        assert said.endswith("192.0.2.6\tx\n")
    host.ok("network", "create", "--internal", "--subnet", "10.95.0.0/24", "inner")
    gateway = ("--network", "inner", "--add-host", "host.docker.internal:host-gateway", IMAGE, "cat", "/etc/hosts")
    assert "10.95.0.1\thost.docker.internal\n" in host.ok("run", "--rm", *gateway)
    plain = host.ok("run", "--rm", "--dns", "192.0.2.53", IMAGE, "cat", "/etc/resolv.conf")
    assert plain.startswith("nameserver 192.0.2.53\n")


def test_what_is_refused(host: Host) -> None:
    host.ok("network", "inspect", "bridge")
    for words, said in (
        (("run", "--network", "nowhere", IMAGE, "true"), "network nowhere not found"),
        (("run", "--link", "one:two", IMAGE, "true"), "unsupported: --link"),
        (("run", "--network", "none", "-p", "80:80", IMAGE, "true"), "conflicting options: port publishing"),
        (("run", "-p", "80:http", IMAGE, "true"), "invalid containerPort: http"),
        (("run", "--ip", "172.17.0.9", IMAGE, "true"), "supported on user defined networks only"),
        (("network", "create", "bridge"), "operation is not permitted on predefined bridge network"),
        (("network", "create", "-d", "macvlan", "mm"), "unsupported: network driver macvlan"),
        (("network", "create", "--subnet", "172.17.4.0/24", "mm"), "Pool overlaps"),
        (("network", "rm", "host"), "host is a pre-defined network and cannot be removed"),
        (("network", "create", "-o", "com.example=1", "mm"), "unsupported: network option com.example"),
        (("run", "--link-local-ip", "10.0.0.1", IMAGE, "true"), "10.0.0.1 is no link-local address"),
        (("run", "--network", "name=bridge,driver-opt=a=b", IMAGE, "true"), "unsupported: driver-opt a=b"),
        (
            ("run", "--network", "none", "--add-host", "a:host-gateway", IMAGE),
            "a:host-gateway, and the none network mode",
        ),
    ):
        done = host(*words)
        assert done.returncode
        assert said in done.stderr.decode(), words


def test_rules_that_somebody_flushed_and_a_bridge_that_went_are_made_again(host: Host) -> None:
    web(host, "old", "-p", "8085:80")
    host.there("nft", "flush", "ruleset")
    assert host.fetch("127.0.0.1:8085") == ""
    host.ok("run", "--rm", IMAGE, "true")
    assert host.fetch("127.0.0.1:8085") == "hello\n"
    host.ok("rm", "-f", "old")
    bridge = json.loads(host.ok("network", "inspect", "bridge"))[0]["Options"]["com.docker.network.bridge.name"]
    host.there("ip", "link", "del", bridge)
    host.ok("run", "--rm", IMAGE, "ping", "-c", "1", "-W", "3", "172.17.0.1")


def test_a_network_that_is_removed_leaves_nothing(host: Host) -> None:
    before = host.there("ip", "-o", "link").count("\n")
    host.ok("network", "create", "--label", "a=b", "gone")
    host.ok("run", "--rm", "--network", "gone", IMAGE, "true")
    assert host.there("ip", "-o", "link").count("\n") >= before + 1
    assert host.ok("network", "ls", "-q", "--filter", "label=a=b").strip()
    host.ok("network", "rm", "gone")
    assert host.there("ip", "-o", "link").count("\n") == before
    host.ok("network", "prune", "-f")
    assert "utsuwa" not in host.there("nft", "list", "tables")


@pytest.mark.parametrize("delay", [0.03, 0.05, 0.07, 0.09, 0.12])
def test_everything_is_killed_while_a_container_starts(host: Host, delay: float) -> None:
    host.ok("network", "create", "fault")
    client = host.begin("run", "-d", "--name", "cc", "--network", "fault", "-p", "8086:80", IMAGE, "sleep", "1000")
    with contextlib.suppress(subprocess.TimeoutExpired):
        client.communicate(timeout=delay)
    for pid in host._family():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    client.kill()
    client.communicate()
    host.ok("ps", "-a")
    host("rm", "-f", "cc")
    until(lambda: host.left() == [], host.left)
    host.ok("run", "--rm", "--network", "fault", "-p", "8086:80", IMAGE, "true")
    host.ok("network", "rm", "fault")


@pytest.mark.parametrize("delay", [0.04, 0.06, 0.08])
@pytest.mark.parametrize("verb", ["connect", "disconnect"])
def test_killed_while_it_connects(host: Host, verb: str, delay: float) -> None:
    host.ok("network", "create", "fault")
    host.ok("run", "-d", "--name", "cc", IMAGE, "sleep", "1000")
    if verb == "disconnect":
        host.ok("network", "connect", "fault", "cc")
    client = host.begin("network", verb, "fault", "cc")
    with contextlib.suppress(subprocess.TimeoutExpired):
        client.communicate(timeout=delay)
    client.kill()
    client.communicate()
    host.ok("ps", "-a")
    connected = "fault" in host.inspect("cc")["NetworkSettings"]["Networks"]
    there = bool(json.loads(host.ok("network", "inspect", "fault"))[0]["Containers"])
    assert connected == there
    assert len([line for line in host.left() if "veth" in line and "/" not in line.split("veth")[0]]) == 1 + connected
    host.ok("rm", "-f", "cc")
    host.ok("network", "rm", "fault")


@needs("runc")
def test_a_container_of_another_runtime(host: Host) -> None:
    host.ok("network", "create", "elsewhere")
    web(host, "foreign", "--runtime", "runc", "--network", "elsewhere", "-p", "8087:80")
    assert host.fetch("127.0.0.1:8087") == "hello\n"
    host.ok("rm", "-f", "foreign")
    assert host.left() == []

"""Networks of CNI plugins: those of Debian, and one that writes down what it is told."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, until
from tests.integration.networks.host import Host, web
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox", "nft", "ip")]

_REAL = "/usr/lib/cni"
_PLUGIN = """#!{python} -IS
import json, os, sys, time
told = json.load(sys.stdin)
verb = os.environ["CNI_COMMAND"]
said = {{"verb": verb, "told": told, "environment": dict(os.environ)}}
with open("{notes}", "a") as file:
    file.write(json.dumps(said) + "\\n")
if os.path.exists("{notes}." + verb):
    with open("{notes}." + verb) as file:
        exec(file.read())
if verb == "ADD":
    result = {{"cniVersion": told["cniVersion"], "ips": [{{"address": "10.7.0.9/24"}}]}}
    print(json.dumps(result | {{"dns": {{"nameservers": ["10.7.0.1"]}}}}))
"""


class Plugin:
    """A plugin of our own."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.notes = directory, directory / "notes"
        program = directory / "fake"
        program.write_text(_PLUGIN.format(python=os.path.realpath(sys.executable), notes=self.notes))
        program.chmod(0o755)

    def does(self, verb: str, code: str) -> None:
        """Have it do something before it answers."""
        (self.directory / f"notes.{verb}").write_text(code)

    def heard(self) -> list[dict]:  # type: ignore[type-arg]
        """What it was told since the last question."""
        try:
            said = [json.loads(line) for line in self.notes.read_text().splitlines()]
        except FileNotFoundError:
            return []
        self.notes.unlink()
        return said

    def verbs(self) -> list[str]:
        return [each["verb"] for each in self.heard()]


@pytest.fixture
def plugin(host: Host, tmp_path: Path) -> Iterator[Plugin]:
    made = Plugin(tmp_path)
    wanted = {"portMappings": True, "ips": True, "mac": True, "bandwidth": False}
    plugins = [{"type": "fake", "capabilities": wanted, "first": 1}, {"type": "fake"}]
    config = tmp_path / "fake.conflist"
    config.write_text(json.dumps({"cniVersion": "1.1.0", "name": "fakes", "plugins": plugins}))
    host.ok("network", "create", "-d", "cni", "-o", f"config={config}", "-o", f"plugins={tmp_path}", "fake")
    yield made
    for verb in ("ADD", "DEL", "CHECK"):
        (tmp_path / f"notes.{verb}").unlink(missing_ok=True)


def asked(host: Host) -> list[str]:
    """What is written down of plugins that were asked for something."""
    return os.listdir(host.root / "networks" / "plugged")


def test_what_a_plugin_is_told(host: Host, plugin: Plugin) -> None:
    wish = ("--network", "name=fake,ip=10.7.0.9,mac-address=02:00:00:00:00:07", "-p", "9020:80/udp")
    host.ok("run", "-d", "--name", "cc", *wish, IMAGE, "sleep", "1000")
    first, second = plugin.heard()
    shown = host.inspect("cc")
    environment = first["environment"]
    assert set(environment) - {"LC_CTYPE"} == {
        *("CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH", "PATH"),
    }
    assert (environment["CNI_CONTAINERID"], environment["CNI_IFNAME"]) == (shown["Id"], "eth0")
    assert environment["CNI_NETNS"] == f"/proc/{shown['State']['Pid']}/ns/net"
    assert first["told"] == {
        "type": "fake",
        "first": 1,
        "name": "fakes",
        "cniVersion": "1.1.0",
        "runtimeConfig": {
            "portMappings": [{"hostPort": 9020, "containerPort": 80, "protocol": "udp"}],
            "ips": ["10.7.0.9"],
            "mac": "02:00:00:00:00:07",
        },
    }
    assert second["told"]["prevResult"]["ips"] == [{"address": "10.7.0.9/24"}]
    assert "runtimeConfig" not in second["told"]
    assert host.address("cc", "fake") == "10.7.0.9"
    assert "0.0.0.0:9020->80/udp" in host.ok("ps")
    assert host.ok("exec", "cc", "cat", "/etc/resolv.conf").startswith("nameserver 10.7.0.1\n")

    host.ok("network", "inspect", "-v", "fake")
    assert plugin.verbs() == ["CHECK", "CHECK"]
    plugin.does("CHECK", 'print(\'{"code": 7, "msg": "it is gone"}\'); sys.exit(1)')
    found = json.loads(host.ok("network", "inspect", "-v", "fake"))[0]["Containers"][shown["Id"]]
    assert found["Check"] == "CNI network fakes: plugin fake (CHECK) failed: it is gone"
    plugin.heard()

    host.ok("network", "disconnect", "fake", "cc")
    told = plugin.heard()
    assert [(each["verb"], "first" in each["told"]) for each in told] == [("DEL", False), ("DEL", True)]
    assert told[0]["environment"]["CNI_NETNS"] == environment["CNI_NETNS"]
    assert told[1]["told"]["prevResult"]["ips"] == [{"address": "10.7.0.9/24"}]
    assert told[1]["told"]["runtimeConfig"] == first["told"]["runtimeConfig"]
    host.ok("network", "connect", "fake", "cc")
    host.ok("rm", "-f", "cc")
    assert plugin.verbs() == ["ADD", "ADD", "DEL", "DEL"]
    assert asked(host) == []


def test_a_plugin_that_fails_is_named_and_taken_back(host: Host, plugin: Plugin) -> None:
    refusal = '{"code": 11, "msg": "no room", "details": "none"}'
    plugin.does("ADD", f"if 'first' not in told: print({refusal!r}); sys.exit(1)")
    done = host("run", "--rm", "--network", "fake", IMAGE, "true")
    assert done.returncode == 125
    assert b"CNI network fakes: plugin fake (ADD) failed: no room: none" in done.stderr
    assert plugin.verbs() == ["ADD", "ADD", "DEL", "DEL"]
    plugin.does("ADD", "sys.stderr.write('oops\\n'); os.kill(os.getpid(), 9)")
    assert b"plugin fake (ADD) failed: oops" in host("run", "--rm", "--network", "fake", IMAGE, "true").stderr
    plugin.does("ADD", "print('nonsense'); sys.exit(0)")
    done = host("run", "--rm", "--network", "fake", IMAGE, "true")
    assert b"plugin fake (ADD) gave no result: nonsense" in done.stderr
    (plugin.directory / "fake").rename(plugin.directory / "elsewhere")
    done = host("run", "--rm", "--network", "fake", IMAGE, "true")
    assert f"plugin fake is not in {plugin.directory}: install it" in done.stderr.decode()
    assert len(asked(host)) == 1  # it could not be taken back
    (plugin.directory / "elsewhere").rename(plugin.directory / "fake")
    plugin.heard()
    host.ok("ps")
    assert plugin.verbs() == ["DEL", "DEL"]
    assert asked(host) == []


def test_what_cannot_be(host: Host, plugin: Plugin, tmp_path: Path) -> None:
    config = tmp_path / "bad.conflist"
    for text, said in (
        ("[]", "is no CNI configuration"),
        ('{"name": "n", "cniVersion": "9.0.0", "plugins": [{"type": "x"}]}', "is of CNI version 9.0.0"),
        ('{"name": "n", "cniVersion": "1.0.0", "plugins": [{"type": "../x"}]}', "a plugin's type is the name"),
        ("{", "json"),
    ):
        config.write_text(text)
        done = host("network", "create", "-d", "cni", "-o", f"config={config}", "bad")
        assert done.returncode == 1
        assert said in done.stderr.decode()
    config.write_text('{"name": "n", "cniVersion": "1.0.0", "plugins": [{"type": "x"}]}')
    host.ok("network", "create", "-d", "cni", "-o", f"config={config}", "bare")
    for words, said in (
        (("run", "--network", "bare", "-p", "80:80", IMAGE), "no plugin is able of portMappings"),
        (("run", "--network", "bare", "--ip", "10.7.0.1", IMAGE), "no plugin is able of ips"),
        (("run", "--network", "fake", "--network-alias", "a", IMAGE), "no plugin is able of aliases"),
        (("network", "create", "-d", "cni", "nowhere-to-be-found"), "no CNI configuration nowhere-to-be-found"),
        (("network", "create", "-d", "cni", "-o", "mtu=9", "bad"), "unsupported: option mtu of a CNI network"),
        (("network", "create", "-d", "cni", "--internal", "bad"), "unsupported: addresses, --ipv6 and --internal"),
    ):
        assert said in host(*words).stderr.decode(), words


@pytest.mark.parametrize("moment", ["ADD", "DEL"])
def test_everything_is_killed_while_a_plugin_works(host: Host, plugin: Plugin, moment: str) -> None:
    started = plugin.directory / "started"
    plugin.does(moment, f"open({str(started)!r}, 'w').write(f'{{os.getpid()}} {{os.getppid()}}'); time.sleep(30)")
    client = host.begin("run", "-d", "--name", "cc", "--network", "fake", IMAGE, "true")
    until(lambda: started.exists() and " " in started.read_text())
    own, parent = map(int, started.read_text().split())
    for pid in [client.pid, *host._family(), parent]:  # but not the plugin itself
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    client.communicate()
    (plugin.directory / f"notes.{moment}").unlink()
    assert len(asked(host)) == 1
    plugin.heard()
    host.ok("ps", "-a")
    until(lambda: bool(host.ok("ps", "-a")) and asked(host) == [], lambda: host.ok("ps", "-a"))
    assert plugin.verbs() == ["DEL", "DEL"]
    if moment == "ADD":
        assert not Path(f"/proc/{own}/exe").exists()  # it would have gone on
    host("rm", "-f", "cc")


def test_after_a_reboot_plugins_take_back_what_they_gave(host: Host, plugin: Plugin) -> None:
    host.ok("run", "-d", "--name", "cc", "--network", "fake", IMAGE, "sleep", "1000")
    pid = host.inspect("cc")["State"]["Pid"]
    for each in [*host._family(), pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}/exe").exists())
    (host.run_directory / "boot").write_bytes(b"another boot\n")
    plugin.heard()
    host.ok("ps", "-a")
    assert plugin.verbs() == ["DEL", "DEL"]
    assert asked(host) == []
    host.ok("start", "cc")
    assert plugin.verbs() == ["ADD", "ADD"]


@pytest.mark.skipif(not os.access(f"{_REAL}/portmap", os.X_OK), reason="needs containernetworking-plugins")
def test_the_plugins_that_everybody_has(host: Host, tmp_path: Path) -> None:
    leases = tmp_path / "leases"
    ranges = [[{"subnet": "10.8.0.0/24"}]]
    ipam = {"type": "host-local", "ranges": ranges, "dataDir": str(leases), "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "cni9", "isGateway": True, "ipMasq": True, "ipam": ipam}
    bridge["capabilities"] = {"ips": True}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
    config = tmp_path / "real.conflist"
    config.write_text(json.dumps({"cniVersion": "1.0.0", "name": "real", "plugins": [bridge, portmap]}))
    host.ok("network", "create", "-d", "cni", "-o", f"config={config}", "-o", f"plugins={_REAL}", "real")
    host.ok("network", "create", "plain")
    web(host, "cc", "--network", "real", "--ip", "10.8.0.77", "-p", "9021:80", text="plugged")
    assert host.address("cc", "real") == "10.8.0.77"
    assert host.fetch("10.8.0.1:9021") == "plugged\n"
    host.ok("network", "connect", "plain", "cc")
    assert "default via 10.8.0.1" in host.ok("exec", "cc", "ip", "route")
    assert host.resolve("cc", "cc") == [host.address("cc", "plain")]
    host.ok("network", "disconnect", "real", "cc")
    assert "eth0" not in host.ok("exec", "cc", "ip", "link")
    host.ok("network", "connect", "real", "cc")
    host.ok("restart", "-t", "0", "cc")
    until(lambda: host.ok("ps", "-q") != "")
    assert host.address("cc", "real").startswith("10.8.0.")
    host.ok("rm", "-f", "cc")
    assert [name for name in os.listdir(leases / "real") if name[0].isdigit()] == []
    assert "9021" not in host.there("iptables-save", "-t", "nat")
    host.ok("network", "rm", "real")
    host.there("ip", "link", "del", "cni9")

"""A host of its own: a network namespace with forkserver, bridges and rules, which go with it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.integration.household import IMAGE, Household, until


class Host(Household):
    """A household that has a network namespace to itself, which a sleeping process holds."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        del self.environment["UTSUWA_NETWORK"]  # a bridge is what containers get without a word
        self.holder = subprocess.Popen(["unshare", "-n", "sleep", "1000"])
        ours = os.readlink("/proc/self/ns/net")
        until(lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != ours)
        self.there("ip", "link", "set", "lo", "up")

    def command(self, *words: str) -> list[str]:
        return [*self.enter, *super().command(*words)]

    @property
    def enter(self) -> list[str]:
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net"]

    def there(self, *command: str) -> str:
        """Run a command of the host in its network; what it printed."""
        done = subprocess.run([*self.enter, *command], capture_output=True, timeout=30, check=False)
        assert done.returncode == 0, (command, done.stderr.decode())
        return done.stdout.decode()

    def fetch(self, url: str) -> str:
        """What a client of the host gets, "" when nobody answers."""
        return fetch(self.enter, url)

    def fetch_from(self, name: str, url: str, patience: float = 8) -> str:
        """What a client in a container's network gets."""
        return fetch(["nsenter", f"--net=/proc/{self.inspect(name)['State']['Pid']}/ns/net"], url, patience)

    def inspect(self, name: str) -> dict:  # type: ignore[type-arg]
        return json.loads(self.ok("inspect", name))[0]  # type: ignore[no-any-return]

    def address(self, name: str, network: str = "bridge", key: str = "IPAddress") -> str:
        return str(self.inspect(name)["NetworkSettings"]["Networks"][network][key])

    def resolve(self, name: str, wanted: str) -> list[str]:
        """What a container gets told of a name. (A static busybox has no resolver but in nslookup.)"""
        said = self("exec", name, "busybox", "nslookup", wanted).stdout.decode()
        answers = said.partition("\n\n")[2]
        return [line.split()[-1] for line in answers.splitlines() if line.startswith("Address")]

    @contextlib.contextmanager
    def neighbour(self) -> Iterator[list[str]]:
        """The words to be 192.0.2.2, beyond an interface of the host, which is 192.0.2.1 there."""
        self.there("ip", "link", "add", "up0", "type", "veth", "peer", "name", "far0")
        self.there("ip", "addr", "add", "192.0.2.1/24", "dev", "up0")
        self.there("ip", "link", "set", "up0", "up")
        far = subprocess.Popen([*self.enter, "unshare", "-n", "sleep", "1000"])
        try:
            others = [os.readlink(f"/proc/{each}/ns/net") for each in (self.holder.pid, "self")]
            until(lambda: os.readlink(f"/proc/{far.pid}/ns/net") not in others)
            self.there("ip", "link", "set", "far0", "netns", str(far.pid))
            inside = ["nsenter", f"--net=/proc/{far.pid}/ns/net"]
            for words in ("addr add 192.0.2.2/24 dev far0", "link set far0 up", "route add default via 192.0.2.1"):
                subprocess.run([*inside, "ip", *words.split()], check=True)
            yield inside
        finally:
            far.kill()
            far.wait()
            subprocess.run([*self.enter, "ip", "link", "del", "up0"], capture_output=True, check=False)

    def left(self) -> list[str]:
        """Interfaces and addresses of containers, ports, and elements that lead to them."""
        found = [line for line in self.there("ip", "-o", "link").splitlines() if "veth" in line]
        for part in ("*/endpoints/*", "*/addresses/*", "ports/*"):
            found += map(str, (self.run_directory / "networks").glob(part))
        rules = subprocess.run(
            [*self.enter, "nft", "list", "table", "inet", "utsuwa"], capture_output=True, check=False
        )
        found += [line for line in rules.stdout.decode().splitlines() if " : " in line and "type" not in line]
        return found

    def end(self) -> None:
        super().end()
        resolver = Path(self.run_directory / "networks" / "resolver" / "log")
        until(lambda: not _writers(resolver))
        self.holder.kill()
        self.holder.wait()


_CLIENT = """
import sys
from socket import create_connection
try:
    with create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])) as connection:
        connection.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        said = b""
        while data := connection.recv(4096):
            said += data
        sys.stdout.write(said.decode().partition("\\r\\n\\r\\n")[2])
except OSError:
    pass
"""


def fetch(enter: list[str], url: str, patience: float = 8) -> str:
    """What a client in a network namespace gets of ADDRESS:PORT, "" when nobody answers."""
    address, _, port = url.rpartition(":")
    command = [*enter, sys.executable, "-I", "-S", "-c", _CLIENT, address.strip("[]"), port, str(patience)]
    return subprocess.run(command, capture_output=True, timeout=30, check=False).stdout.decode()


def _writers(log: Path) -> list[int]:
    """Processes whose standard error is this file."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{name}/fd/2") == str(log):
                found.append(int(name))
    return found


def web(host: Host, name: str, *options: str, text: str = "hello") -> None:
    script = f"echo {text} > /index.html; httpd -p 80 -h /; echo ready; exec sleep 1000"
    host.ok("run", "-d", "--name", name, *options, IMAGE, "sh", "-c", script)
    until(lambda: "ready" in host.ok("logs", name))

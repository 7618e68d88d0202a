"""RUN of a build in a network, within a network namespace of its own: as `utsuwa run` has it, and nothing stays."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, until
from tests.integration.networks.host import Host
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox", "nft", "ip")]

_WAYS = f"""FROM {IMAGE}
RUN ip -o -4 address show dev eth0 && ping -c 1 -W 5 gateway && cat /etc/hosts
RUN --network=none ip -o link && cat /etc/hosts
RUN --network=host ip -o link && cat /etc/hosts
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    directory = tmp_path_factory.mktemp("build-networks")
    made = Host(directory)
    made.load(directory)
    yield made
    made.end()


def build(host: Host, directory: Path, text: str, *words: str) -> str:
    (directory / "Dockerfile").write_text(text)
    done = host("build", "--no-cache", *words, str(directory))
    assert done.returncode == 0, done.stderr.decode()
    return done.stderr.decode()


def test_bridge_none_and_host(host: Host, tmp_path: Path) -> None:
    said = build(host, tmp_path, _WAYS, "--allow", "network.host", "--add-host", "gateway:host-gateway")
    steps = [step for step in said.split("\n\n") if "RUN " in step]
    bridge, none, shared = steps
    assert "inet 172." in bridge
    assert "1 packets received" in bridge
    assert "\tbuildkitsandbox" in bridge
    assert "eth0" not in none
    assert "utsuwa" not in none
    assert "ut-" in shared  # the bridge itself
    assert host.left() == []


def test_without_a_word_it_is_the_engines(host: Host, tmp_path: Path) -> None:
    text = f"FROM {IMAGE}\nRUN ip -o link\n"
    host.environment["UTSUWA_NETWORK"] = "none"
    try:
        assert "eth0" not in build(host, tmp_path, text)
    finally:
        del host.environment["UTSUWA_NETWORK"]
    assert "eth0" in build(host, tmp_path, text)
    assert "eth0" not in build(host, tmp_path, text, "--network", "none")
    refused = host("build", "--network", "elsewhere", str(tmp_path))
    assert b"a build can use default, none or host" in refused.stderr


@pytest.mark.parametrize("who", ["the build", "the keeper", "both"])
def test_killed_it_leaves_no_place(host: Host, tmp_path: Path, who: str) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN echo rea''dy; sleep 1000\n")
    running = host.begin("build", "--no-cache", str(tmp_path))
    assert running.stderr is not None
    assert any(line.rstrip().endswith(b" ready") for line in running.stderr)
    (keeper,) = map(int, Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split())
    host.ok("run", "--rm", IMAGE, "true")  # its recovery leaves a build alone that goes on
    assert len([line for line in host.left() if "endpoints" in line]) == 1
    if who != "the keeper":
        os.kill(running.pid, signal.SIGSTOP if who == "both" else signal.SIGKILL)
    if who != "the build":
        os.kill(keeper, signal.SIGKILL)
    if who == "both":
        running.kill()
    finish(running)
    if who == "both":
        assert host.left() != []
        host.ok("network", "prune", "-f")
        assert [line for line in host.left() if "endpoints" in line] == []
        host.ok("builder", "prune", "-f")
    until(lambda: host.left() == [], host.left)


def finish(running: subprocess.Popen[bytes]) -> None:
    running.communicate(timeout=20)

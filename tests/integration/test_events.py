"""What `utsuwa events` tells of containers that live and die."""

from __future__ import annotations

import fcntl
import json
import os
import struct
import subprocess
import termios
import time
from collections.abc import Iterator

import pytest

from tests.integration.household import IMAGE, Household
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox")]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    directory = tmp_path_factory.mktemp("events")
    household = Household(directory)
    household.load(directory)
    yield household
    household.end()


def told(house: Household, since: float, *words: str) -> list[str]:
    """The actions since a moment, with what they say of codes and signals."""
    lines = house.ok("events", "--since", f"{since:.9f}", "--until", f"{time.time():.9f}", "--format", "json", *words)
    found = [json.loads(line) for line in lines.splitlines()]
    extra = ("exitCode", "signal")
    return [
        " ".join(
            [
                event["Action"],
                *(event["Actor"]["Attributes"][key] for key in extra if key in event["Actor"]["Attributes"]),
            ]
        )
        for event in found
    ]


def test_a_passing_container(house: Household) -> None:
    since = time.time()
    house("run", "--rm", "--label", "a=b", "--name", "cc", IMAGE, "sh", "-c", "exit 3")
    assert told(house, since) == ["create", "attach", "start", "die 3", "destroy"]
    assert told(house, since, "-f", "label=a=b", "-f", "event=die") == ["die 3"]
    assert told(house, since, "-f", "label=a=c") == []
    (line,) = house.ok("events", "--since", str(since), "--until", str(time.time()), "-f", "event=die").splitlines()
    assert " container die " in line and line.endswith(f"a=b, execDuration=0, exitCode=3, image={IMAGE}, name=cc)")


def test_stopped_and_removed(house: Household) -> None:
    since = time.time()
    house.ok("run", "-d", "--name", "cc", IMAGE, "sleep", "1000")
    house.ok("exec", "cc", "true")
    house.ok("stop", "-s", "KILL", "cc")
    house.ok("start", "cc")
    house.ok("rm", "-f", "cc")
    stopped = ["create", "start", "exec_create: true", "exec_start: true", "exec_die 0", "kill 9", "die 137", "stop"]
    assert told(house, since) == [*stopped, "start", "kill 9", "die 137", "destroy"]


def test_what_goes_with_containers(house: Household) -> None:
    """Volumes, networks, archives, and what nobody needs."""
    since = time.time()
    network = ("--driver", "bridge", "--subnet", "10.251.7.0/24", "nn")
    house.ok("network", "create", *network)
    house.ok("network", "rm", "nn")
    house.ok("run", "--rm", "-v", "vv:/v:ro", "-v", "/w", IMAGE, "true")
    house.ok("create", "--name", "cc", IMAGE, "true")
    house.ok("export", "-o", "/dev/null", "cc")
    house.ok("volume", "rm", "vv")
    house.ok("system", "prune", "-f", "--volumes")
    assert told(house, since, "-f", "type=network") == ["create", "destroy", "prune"]
    mounted = ["create", "create", "mount", "mount", "unmount", "unmount", "destroy", "destroy", "prune"]
    assert told(house, since, "-f", "type=volume") == mounted
    assert told(house, since, "-f", "type=container")[-4:] == ["create", "export", "destroy", "prune"]
    assert told(house, since, "-f", "type=image") == told(house, since, "-f", "type=builder") == ["prune"]
    words = ("--since", str(since), "--until", str(time.time()), "-f", "event=mount", "-f", "volume=vv")
    (line,) = house.ok("events", *words).splitlines()
    assert " volume mount vv (container=" in line
    assert line.endswith("destination=/v, driver=local, propagation=, read/write=false)")


def test_terminals(house: Household) -> None:
    """Sizes, and users who leave: of the first process, and of another."""
    since = time.time()
    type_into(house, b"\x10\x11", "run", "-it", "--name", "cc", IMAGE, "sh")
    type_into(house, b"\x10\x11", "exec", "-it", "cc", "sh")
    actions = told(house, since, "-f", "container=cc")
    assert actions[:5] == ["create", "attach", "start", "resize", "detach"]
    assert [action.partition(":")[0] for action in actions[5:]] == ["exec_create", "exec_start", "exec_detach"]
    told_of = ("--since", str(since), "--until", str(time.time()), "-f", "event=resize")
    size = house.ok("events", *told_of, "--format", "{{.Actor.Attributes.height}} {{.Actor.Attributes.width}}")
    assert size == "24 80\n"
    house.ok("rm", "-f", "cc")


def type_into(house: Household, keys: bytes, *words: str) -> None:
    """Run a command at a terminal of 24 by 80, and type once the shell in it has said something."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    process = subprocess.Popen(house.command(*words), stdin=slave, stdout=slave, stderr=slave, env=house.environment)
    os.close(slave)
    assert os.read(master, 1)
    os.write(master, keys)
    assert process.wait(20) == 0
    os.close(master)


def test_a_follower_hears_at_once(house: Household) -> None:
    until = time.time() + 20
    follower = house.begin("events", "--until", str(until), "--format", "{{.Action}} {{.Actor.Attributes.name}}")
    assert follower.stdout is not None
    try:
        heard: list[bytes] = []
        while not heard:  # until it listens
            house.ok("create", "--name", "first", IMAGE)
            house.ok("rm", "first")
            heard = [follower.stdout.readline()]
        house.ok("create", "--name", "second", IMAGE)
        while heard[-1] != b"create second\n":
            heard.append(follower.stdout.readline())
        house.ok("rm", "second")
        assert follower.stdout.readline() == b"destroy second\n"
    finally:
        follower.kill()
        follower.communicate()

"""The engine of an ordinary user: nobody of this machine, with ids that a private /etc/subuid lends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import registry
from tests.integration.household import IMAGE, until
from tests.integration.lodger import LAUNCHER, NOBODY, Lodger
from tests.needs import needs
from utsuwa.runtime.process import start_time

_ADDRESS = ("inspect", "-f", "{{.NetworkSettings.IPAddress}}")
pytestmark = [needs("root", "overlay", "busybox", "newuidmap", "setpriv", "unshare", "ip")]


@pytest.fixture(scope="module")
def house() -> Iterator[Lodger]:
    household = Lodger()
    household.settle()
    yield household
    household.leave()


@pytest.fixture(autouse=True)
def nothing_stays(house: Lodger) -> Iterator[None]:
    yield
    for identifier in house.ok("ps", "-aq", "--no-trunc").split():
        house.ok("rm", "-fv", identifier)
    assert house.leftovers() == []


def test_root_inside_is_the_user_outside(house: Lodger) -> None:
    shown = house.ok("run", "--rm", IMAGE, "sh", "-c", "id -u; cat /proc/self/uid_map; touch /file && stat -c %u /file")
    assert shown.split() == ["0", "0", "65534", "1", "1", "200000", "65536", "0"]
    assert house.ok("run", "--rm", "-u", "5:6", "--network", "host", IMAGE, "sh", "-c", "id -u; id -g") == "5\n6\n"
    assert os.stat(house.root).st_uid == NOBODY
    assert house("run", "--rm", IMAGE, "sh", "-c", "exit 7").returncode == 7


def test_a_build(house: Lodger) -> None:
    text = f"FROM {IMAGE}\nRUN --network=none id -u >/id && chown 5 /id\nCOPY --link <<EOF /f\nf\nEOF\n"
    text += "RUN --network=none mkdir /d && touch /d/lower\nRUN --network=none rm -r /d && mkdir /d && touch /d/upper\n"
    assert house("build", "-q", "-t", "built", "-", stdin=text.encode()).returncode == 0
    shown = house.ok("run", "--rm", "built", "sh", "-c", "cat /id /f; stat -c %u /id; ls /d")
    assert shown.split() == ["0", "f", "5", "upper"]
    refused = house("build", "--memory", "64m", "--no-cache", "-", stdin=text.encode())
    assert b"unsupported: --memory (this user has no systemd" in refused.stderr
    house.ok("rmi", "built")


def test_a_whole_life(house: Lodger) -> None:
    script = "echo begun; echo kept >/data/file; sleep 1000"
    house.ok("run", "-d", "--name", "box", "-v", "data:/data", "-v", "/anonymous", IMAGE, "sh", "-c", script)
    until(lambda: house.ok("logs", "box") == "begun\n")
    assert house.ok("exec", "box", "cat", "/data/file") == "kept\n"
    assert house.ok("exec", "-t", "box", "sh", "-c", "test -t 0 && echo tty") == "tty\r\n"
    assert house.ok("inspect", "-f", "{{.State.Status}}", "box") == "running\n"
    house.ok("stop", "-t", "0", "box")
    house.ok("start", "box")
    until(lambda: house.ok("logs", "box") == "begun\nbegun\n")
    house.ok("rm", "-fv", "box")
    assert house.ok("volume", "ls", "-q") == "data\n"
    house.ok("volume", "rm", "data")


def test_what_an_ordinary_user_can_not_have(house: Lodger) -> None:
    house.ok("volume", "create", "-o", "type=ext4", "-o", "device=/dev/null", "disk")
    for option, complaint in (
        ("-v=disk:/disk", "a volume of type ext4 at /disk (only root can mount"),
        ("-m=64m", "--memory (this user has no systemd, and no cgroup was lent: containers have no cgroup)"),
        ("--memory-swappiness=10", "--memory-swappiness (this user"),
        ("--oom-score-adj=-1", "--oom-score-adj -1"),
        ("--user=99999", "uid 99999"),
        ("--group-add=99999", "with groups 99999: the user namespace has no such id"),
    ):
        done = house("run", "--rm", option, IMAGE, "true")
        assert (done.returncode, complaint in done.stderr.decode()) == (125, True), done.stderr
    house.ok("volume", "rm", "disk")


def test_verbs_that_ask_the_kernel_for_more(house: Lodger, tmp_path: Path) -> None:
    house.ok("run", "-d", "--name", "box", "--health-cmd", "true", "--health-interval", "100ms", IMAGE, "sleep", "1000")
    house.ok("exec", "box", "touch", "/made")
    assert "A /made" in house.ok("diff", "box")
    house.ok("commit", "box", "snap")
    nodes = ("--device", "/dev/null:/dev/other")
    assert house.ok(
        "run", "--rm", "--pid", "host", "--ipc", "host", *nodes, "snap", "ls", "/made", "/dev/other"
    ).split() == [
        "/dev/other",
        "/made",
    ]
    top = [line.split(None, 7)[-1] for line in house.ok("top", "box").splitlines()[1:]]
    assert "sleep 1000" in top
    shown = json.loads(house.ok("stats", "--no-stream", "--format", "json", "box"))
    assert (int(shown["PIDs"]) > 0, shown["MemUsage"].startswith("0B")) == (True, False)
    done = house("exec", "-u", "99999", "box", "id")
    assert (done.returncode, b"no such id" in done.stderr) == (126, True), done.stderr
    done = house("cp", "box:/made", "/root/made")
    assert (done.returncode, done.stderr) == (1, b"utsuwa: open /root: permission denied\n")
    done = house("pause", "box")
    assert (done.returncode, b"no cgroup of its own" in done.stderr) == (1, True), done.stderr
    until(lambda: house.ok("inspect", "-f", "{{.State.Health.Status}}", "box") == "healthy\n")
    house.ok("cp", "box:/made", str(house.directory / "home" / "copy"))
    context = house.directory / "home" / "context"
    context.mkdir()
    (context / "file").write_text("content")
    (context / "Dockerfile").write_text(
        f"FROM {IMAGE}\nCOPY --chown=7:8 file /file\nRUN stat -c %u:%g /file >/who\nUSER 7\nCMD cat /who; id -u\n"
    )
    house.ok("build", "-q", "-t", "made", str(context))
    assert house.ok("run", "--rm", "made") == "7:8\n7\n"
    house.ok("rm", "-f", "box")
    house.ok("rmi", "made", "snap")


def test_when_what_keeps_the_namespace_is_killed_it_is_found_by_who_lives_there(house: Lodger) -> None:
    def space() -> str:
        return os.readlink(f"/proc/{house.holder()}/ns/user")

    def kill(*pids: int) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # some end together with the one before
                os.kill(pid, signal.SIGKILL)
            until(lambda pid=pid: start_time(pid) is None)

    house.ok("run", "-d", "--name", "box", "-v", "/data", IMAGE, "sh", "-c", "echo begun; sleep 1000")
    before = space()
    kill(house.holder(), house.forkserver())
    assert house.ok("exec", "box", "touch", "/data/made") == ""
    assert space() == before
    kill(house.holder())
    house.ok("cp", "box:/data/made", str(house.directory / "home" / "made"))
    assert (house.ok("logs", "box"), space()) == ("begun\n", before)
    house.ok("run", "--rm", IMAGE, "ping", "-c", "1", "-W", "5", house.ok(*_ADDRESS, "box").strip())
    house.ok("rm", "-fv", "box")
    kill(house.holder())
    house.ok("run", "--rm", IMAGE, "true")  # only the forkserver is there
    assert space() == before
    house.ok("run", "-d", "--name", "box", "-u", "5", IMAGE, "sleep", "1000")
    kill(house.holder(), *house._family(), *house.named("utsuwa-"))
    assert house.ok("exec", "box", "id", "-u") == "5\n"  # only the container is there
    assert space() == before
    house.ok("rm", "-f", "box")
    kill(house.holder(), *house._family())
    house.ok("run", "--rm", IMAGE, "true")
    assert house.holder()


def test_with_a_single_id() -> None:
    household = Lodger("")
    household.settle()
    try:
        assert household.ok("run", "--rm", IMAGE, "sh", "-c", "id -u; id -G; cat /proc/self/uid_map").split() == [
            *("0", "0"),
            *("0", str(NOBODY), "1"),
        ]
        done = household("run", "--rm", "-u", "7", IMAGE, "true")
        assert (done.returncode, b"uid 7" in done.stderr) == (125, True), done.stderr
        for name, member, complaint in (
            ("own", tarfile.TarInfo("own"), b"own: owner 7:0 is none of the ids that this user has"),
            ("node", tarfile.TarInfo("node"), b"node: an ordinary user can't make character device 1:3"),
            ("dev", tarfile.TarInfo("./dev/null"), b""),
        ):
            member.uid, member.type = (7, tarfile.REGTYPE) if name == "own" else (0, tarfile.CHRTYPE)
            member.devmajor, member.devminor = 1, 3
            with tarfile.open(household.directory / name, "w") as archive:
                archive.addfile(member)
            done = household("import", str(household.directory / name), f"image{name}")
            assert (complaint in done.stderr, done.returncode) == (True, bool(complaint)), done.stderr
    finally:
        household.leave()


@needs("docker-registry")
def test_an_image_goes_to_a_registry_and_comes_back(house: Lodger, tmp_path: Path) -> None:
    if not os.access(LAUNCHER, os.X_OK):
        pytest.skip("needs ./dev setup")
    with registry.running(tmp_path, login=True) as host:
        name = f"{host}/test:1"
        house.ok("tag", IMAGE, name)
        assert b"log in first" in house("push", name).stderr
        house.ok("login", "-u", "user", "--password-stdin", host, stdin=b"secret")
        house.ok("push", name)
        house.ok("rmi", name)
        house.ok("pull", "-q", name)
        house.ok("logout", host)
        assert house.ok("run", "--rm", name, "echo", "pulled") == "pulled\n"
        house.ok("rmi", name)

"""The command line's own ends: closed and full streams, signals at the wrong moment, a terminal that goes away."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, Household, until
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox")]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    directory = tmp_path_factory.mktemp("streams")
    household = Household(directory)
    household.load(directory)
    yield household
    household.end()


@pytest.fixture(autouse=True)
def nothing_stays(house: Household) -> Iterator[None]:
    yield
    for identifier in house.ok("ps", "-aq", "--no-trunc").split():
        house.ok("rm", "-f", identifier)
    assert house.leftovers() == []


def shell(house: Household, redirection: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run with the shell's redirections, which subprocess has no words for."""
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", *house.command(*words)]
    return subprocess.run(command, env=house.environment, capture_output=True, timeout=60, check=False)


def test_closed_streams(house: Household) -> None:
    assert shell(house, "<&-", "run", "--rm", "-i", IMAGE, "cat").returncode == 0
    assert shell(house, ">&-", "run", "--rm", IMAGE, "echo", "x").stderr == b""
    assert shell(house, "<&- >&- 2>&-", "ps").returncode == 0


@pytest.mark.parametrize("words", [["ps"], ["inspect", IMAGE], ["images"], ["ps", "--help"]])
def test_a_full_device_is_told_of_once(house: Household, words: list[str]) -> None:
    done = shell(house, "> /dev/full", *words)
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == ["utsuwa: write to standard output: no space left on device"]


def test_a_container_outlives_the_reader_of_its_output(house: Household) -> None:
    done = shell(house, "> /dev/full", "run", "--rm", "--name", "talker", IMAGE, "sh", "-c", "echo x; sleep 1000")
    assert (done.returncode, done.stderr) == (1, b"utsuwa: write to stdout: no space left on device\n")
    assert house.ok("ps", "--format", "{{.Names}}") == "talker\n"


def test_a_reader_that_goes_away_is_no_traceback(house: Household) -> None:
    house.ok("run", "-d", "--name", "many", IMAGE, "seq", "1", "200000")
    house.ok("wait", "many")
    done = shell(house, "| head -n 1", "logs", "many")
    assert (done.stdout, done.stderr) == (b"1\n", b"")


@pytest.mark.parametrize("milliseconds", [0, 20, 40, 60, 90])
def test_an_interrupt_at_any_moment(house: Household, milliseconds: int) -> None:
    """It ends the command before there is a process, and the process after; nobody is left running unattended."""
    script = "trap 'exit 9' INT; sleep 1000 & wait"
    running = house.begin("run", "--rm", IMAGE, "sh", "-c", script)
    assert running.stdin is not None
    try:
        running.wait(milliseconds / 1000)
    except subprocess.TimeoutExpired:
        pass
    for _ in range(2):  # the first may come before the trap is set, which sh as the first process does not feel
        running.send_signal(signal.SIGINT)
        try:
            running.wait(0.3)
        except subprocess.TimeoutExpired:
            continue
        break
    running.kill() if running.poll() is None else None
    _out, err = running.communicate(timeout=10)
    assert running.returncode in (9, 130, -signal.SIGINT, -signal.SIGKILL)
    if running.returncode != -signal.SIGINT:  # the bare interpreter of the tests has no launcher to hold it back
        assert b"Traceback" not in err
    if running.returncode in (9, 130):
        until(lambda: house.ok("ps", "-aq") == "")


def test_the_detach_keys_leave_the_container(house: Household) -> None:
    ours, theirs = pty.openpty()
    command = house.command("run", "-it", "--name", "left", IMAGE, "cat")
    running = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=house.environment)
    os.close(theirs)
    os.write(ours, b"typed\r")
    seen = b""
    while seen.count(b"typed") < 2:  # the echo, and what cat says
        seen += os.read(ours, 1024)
    os.write(ours, b"\x10\x11")
    while b"read escape sequence" not in seen:
        seen += os.read(ours, 1024)
    assert running.wait(10) == 0
    os.close(ours)
    assert house.ok("ps", "--format", "{{.Names}}") == "left\n"


def test_an_archive_comes_by_a_pipe(house: Household, tmp_path: Path) -> None:
    from tools.oci_image import busybox_layer, write_layout

    archive = tmp_path / "image.tar"
    write_layout(archive, [busybox_layer()], "piped:1", {"Cmd": ["true"]})
    assert house.ok("load", stdin=archive.read_bytes()) == "Loaded image: piped:1\n"
    house.ok("rmi", "piped:1")
    done = house("load", stdin=b"no archive")
    assert (done.returncode, done.stderr.startswith(b"utsuwa: stdin: ")) == (1, True)


def test_what_nobody_could_begin_is_created_still(house: Household, tmp_path: Path) -> None:
    house.environment, before = {**house.environment, "UTSUWA_RUN": "/dev/null"}, house.environment
    try:
        done = house("run", "--name", "early", IMAGE, "true")
    finally:
        house.environment = before
    assert (done.returncode, b"use the run directory /dev/null" in done.stderr) == (125, True)
    assert house.ok("ps", "-a", "--format", "{{.Names}} {{.Status}}") == "early Created\n"

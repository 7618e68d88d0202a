"""The sockets of monitors and the forkserver, and containers that would rather fill their logs than work."""

from __future__ import annotations

import array
import os
import random
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, Household, until
from tests.needs import needs
from utsuwa.monitor import frames

AT_REST = 5
"""The forkserver, and what waits for the next request: guard, worker, creator, executor."""

pytestmark = needs("root", "overlay", "busybox")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    directory = tmp_path_factory.mktemp("monitor")
    made = Household(directory)
    made.load(directory)
    made.ok("run", "--rm", IMAGE, "true")  # the forkserver is there
    yield made
    made.end()
    assert made.leftovers() == []


@pytest.fixture
def container(house: Household) -> Iterator[str]:
    """A container that counts the lines it is sent, and says so at their end."""
    identifier = house.ok(
        "run", "-d", "-i", IMAGE, "sh", "-c", "n=0; while read l; do n=$((n+1)); done; echo n $n; sleep 99"
    ).strip()
    yield identifier
    house.ok("rm", "-f", identifier)


def _sockets(house: Household) -> list[Path]:
    return [path for path in house.run_directory.rglob("*") if stat.S_ISSOCK(path.lstat().st_mode)]


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    directory = os.open(path.parent, os.O_PATH)
    connection.connect(f"/proc/self/fd/{directory}/{path.name}")
    os.close(directory)
    connection.settimeout(10)
    return connection


def _monitor(house: Household, container: str) -> Path:
    found: list[Path] = []

    def look() -> bool:  # a client is told of the start first, and a moment later others are let in
        found[:] = [path for path in _sockets(house) if container in str(path)]
        return bool(found)

    until(look, lambda: _sockets(house))
    return found[0]


def _forks(house: Household) -> Path:
    return next(path for path in _sockets(house) if path.name.startswith("forks"))


def test_sockets_are_for_root_alone(house: Household, container: str) -> None:
    """Whoever speaks to these sockets starts containers. Proven: root connects."""
    until(lambda: len(_sockets(house)) >= 2)  # a container's own comes a moment after its start
    for path in _sockets(house):
        _connect(path).close()
        program = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
        words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", program]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and ("PermissionError" in done.stderr or "too long" in done.stderr)
    assert oct(house.run_directory.stat().st_mode & 0o777) == "0o700"


def test_the_init_of_a_container_shows_nothing(house: Household) -> None:
    """CVE-2019-5736, CVE-2016-9962 for `--init`: process 1 is a program of ours that never becomes the container's.

    Proven: the same is seen of a process of the container.
    """
    look = "for f in exe fd/1 root cwd; do readlink /proc/{0}/$f; done; cat /proc/{0}/environ | wc -c"
    seen = house("run", "--rm", "--init", IMAGE, "sh", "-c", look.format("$$")).stdout.split()
    assert len(seen) == 5 and int(seen[-1]) > 0
    assert house("run", "--rm", "--init", IMAGE, "sh", "-c", look.format("1")).stdout.split() == [b"0"]


BROKEN = [
    b"",
    b"x",
    frames.header(frames.START, 100),
    frames.header(frames.START, 2**32 - 1) + b"x" * 70_000,
    frames.pack(frames.START, b"{"),
    frames.pack(frames.START, b"[" * 100_000),
    frames.pack(frames.START, b"{}"),
    frames.pack(frames.START, b'{"id": 7}'),
    frames.pack(frames.START, b"\xff"),
    frames.pack(frames.START, b'{"id":"../../x","run":"/nowhere","directory":"/nowhere"}'),
    frames.pack(frames.START, b'{"id":"a","run":"/nowhere","directory":"/nowhere"}'),
    frames.pack(frames.EXECUTE, b'{"id":"..","run":"/nowhere"}'),
    frames.pack(77, b""),
    frames.pack(50, b""),
    bytes(range(256)) * 20,
]


@pytest.mark.parametrize("number", range(len(BROKEN)))
def test_broken_requests(house: Household, number: int) -> None:
    """Requests that are none: an answer or nothing, but never the end of the forkserver, nor a process that stays.

    Proven: after each the forkserver makes a container.
    """
    before = set(house._family())
    forkserver = house.forkserver()
    connection = _connect(_forks(house))
    try:
        connection.sendall(BROKEN[number])
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    except (ConnectionError, BrokenPipeError):
        pass
    connection.close()
    assert not os.path.exists("/nowhere") and not os.path.exists("/x")
    assert house.ok("run", "--rm", IMAGE, "echo", "fine") == "fine\n"
    assert house.forkserver() == forkserver
    until(lambda: len(set(house._family())) <= max(len(before), AT_REST), house._family)


def test_many_who_say_nothing(house: Household) -> None:
    """Twenty connections that send half a request hold up nobody else, and leave nothing when they go."""
    silent = [_connect(_forks(house)) for _ in range(20)]
    for connection in silent:
        connection.sendall(frames.header(frames.START, 1000) + b"{")
    assert house.ok("run", "--rm", IMAGE, "echo", "fine") == "fine\n"
    for connection in silent:
        connection.close()
    until(lambda: len(house._family()) <= AT_REST, house._family)


def test_broken_clients_of_a_monitor(house: Household, container: str) -> None:
    """Frames of nonsense, and as many descriptors as go into a message: the container and its stdin are unharmed.

    Proven: what other clients send, before and after, is all counted.
    """
    path = _monitor(house, container)
    dice = random.Random(1)
    good = _connect(path)
    good.sendall(frames.pack(frames.STDIN, b"one\n"))
    for number in range(60):
        bad = _connect(path)
        try:
            data = dice.choice(BROKEN) if number % 2 else frames.pack(dice.randrange(20, 256), dice.randbytes(30))
            rights = array.array("i", [bad.fileno()] * 200)
            bad.sendmsg([data or b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            bad.sendall(frames.pack(frames.RESIZE, b"x") + frames.pack(frames.SIGNAL, b"\xff") * 3)
        except (ConnectionError, BrokenPipeError):
            pass
        bad.close()
    good.sendall(frames.pack(frames.STDIN, b"two\nthree\n") + frames.pack(frames.CLOSE_STDIN))
    until(lambda: "n 3" in house.ok("logs", container), lambda: house.ok("logs", container))
    good.close()
    assert house.ok("ps", "-q", "--no-trunc").split() == [container]
    assert max(len(os.listdir(f"/proc/{pid}/fd")) for pid in house._family()) < 40


@pytest.mark.parametrize(
    "command", ["yes | head -c 2000000", "head -c 30000000 /dev/zero", "head -c 30000000 /dev/urandom"]
)
def test_a_container_that_fills_its_log(house: Household, command: str) -> None:
    """Output without end, without lines, without sense: the log keeps its size, the monitor its memory.

    Proven: there is a log, of about the size that it may have.
    """
    words = (
        "--log-opt",
        "max-size=500k",
        "--log-opt",
        "max-file=2",
        IMAGE,
        "sh",
        "-c",
        f"{command}; echo; echo end; sleep 99",
    )
    identifier = house.ok("run", "-d", *words).strip()
    peak = 0

    def done() -> bool:
        nonlocal peak
        peak = max(peak, *[_resident(pid) for pid in house._family()])
        return house("logs", "-n", "1", identifier).stdout.endswith(b"end\n")

    try:
        until(done, seconds=40)
        logs = [
            path
            for path in (house.root / "containers" / identifier).rglob("*")
            if "log" in path.name and path.is_file()
        ]
        assert 0 < sum(path.stat().st_size for path in logs) < 2_000_000, logs
        assert peak < 40_000
    finally:
        house.ok("rm", "-f", identifier)


def test_a_client_that_never_reads(house: Household) -> None:
    """20 MB for a client that does not take them: the container ends all the same, and the monitor stays small.

    Proven: the log has everything.
    """
    words = ("--log-opt", "max-size=-1", IMAGE, "sh", "-c", "read l; yes 0123456 | head -c 20000000; echo end")
    identifier = house.ok("run", "-d", "-i", *words).strip()
    deaf = _connect(_monitor(house, identifier))
    try:
        deaf.sendall(frames.pack(frames.STDIN, b"go\n"))
        until(lambda: house("ps", "-q", "--no-trunc").stdout == b"", seconds=30)
        assert max(_resident(pid) for pid in house._family()) < 40_000
        assert house("logs", identifier).stdout.count(b"\n") == 2_500_001
    finally:
        deaf.close()
        house.ok("rm", "-f", identifier)


def _resident(pid: int) -> int:
    """Kilobytes that a process has in memory."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS")), 0)

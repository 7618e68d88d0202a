"""The contract of terminals: who gets the master, and what a program in the container has."""

from __future__ import annotations

import array
import os
import pty
import select
import socket
import struct
import subprocess
import termios
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path

import pytest

from tests.contract.oci import PATIENCE, Bundle, Runtime


class Receiver:
    """What takes a console: a listening socket, and the master once somebody has sent it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.master = -1
        self.payload = b""
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.settimeout(PATIENCE)
        directory = os.open(path.parent, os.O_PATH)
        self._server.bind(f"/proc/self/fd/{directory}/{path.name}")
        os.close(directory)
        self._server.listen(1)

    def take(self) -> int:
        connection, _ = self._server.accept()
        with connection:
            connection.settimeout(PATIENCE)
            descriptors = array.array("i")
            self.payload, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_LEN(descriptors.itemsize))
            for _, kind, data in ancillary:
                assert kind == socket.SCM_RIGHTS
                descriptors.frombytes(data[: descriptors.itemsize])
        (self.master,) = descriptors
        return self.master

    def read(self) -> str:
        """All that is written until the other side closes."""
        return read_all(self.master)

    def close(self) -> None:
        self._server.close()
        if self.master >= 0:
            os.close(self.master)


def read_all(master: int) -> str:
    data = b""
    while True:
        ready, _, _ = select.select([master], [], [], PATIENCE)
        assert ready, f"no end of {data!r}"
        try:
            chunk = os.read(master, 4096)
        except OSError:
            chunk = b""
        if not chunk:
            return data.decode().replace("\r\n", "\n")
        data += chunk


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    """Somebody who takes a console."""
    found = Receiver(tmp_path / "console.sock")
    yield found
    found.close()


@pytest.fixture
def terminal(bundle: Bundle) -> Bundle:
    """A bundle whose process wants a terminal."""
    bundle.process["terminal"] = True
    return bundle


def test_the_master_goes_to_the_console_socket(oci: Runtime, terminal: Bundle, receiver: Receiver) -> None:
    terminal.process["consoleSize"] = {"height": 10, "width": 110}
    terminal.shell("tty; test -t 0 && test -t 1 && test -t 2 && echo yes; stty size; stat -c '%u %g %a' $(tty)")
    oci.create(terminal, "--console-socket", str(receiver.path))
    receiver.take()
    oci.ok("start", oci.id)
    tty, yes, size, owner = receiver.read().splitlines()
    assert tty in ("/dev/console", "/dev/pts/0")
    assert (yes, size) == ("yes", "10 110")
    assert owner.split()[0] == "0"


def test_the_payload_names_the_slave(oci: Runtime, terminal: Bundle, receiver: Receiver) -> None:
    oci.create(terminal.sleep(), "--console-socket", str(receiver.path))
    receiver.take()
    assert b"pts" in receiver.payload or b"ptmx" in receiver.payload


def test_a_console_socket_may_have_a_long_path(oci: Runtime, terminal: Bundle, tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d" * 40] * 3)
    deep.mkdir(parents=True)
    receiver = Receiver(deep / "console.sock")
    try:
        oci.create(terminal.shell("echo through"), "--console-socket", str(receiver.path))
        receiver.take()
        oci.ok("start", oci.id)
        assert receiver.read() == "through\n"
    finally:
        receiver.close()


def test_the_terminal_controls_the_process(oci: Runtime, terminal: Bundle, receiver: Receiver) -> None:
    terminal.shell("trap 'echo interrupted; exit 0' INT; echo ready; while :; do sleep 0.1; done")
    oci.create(terminal, "--console-socket", str(receiver.path))
    master = receiver.take()
    oci.ok("start", oci.id)
    data = b""
    while b"ready" not in data:
        data += os.read(master, 100)
    os.write(master, b"\x03")
    assert "interrupted" in receiver.read()


def test_the_console_device_is_the_terminal(oci: Runtime, terminal: Bundle, receiver: Receiver) -> None:
    oci.create(terminal.shell("echo via console > /dev/console"), "--console-socket", str(receiver.path))
    receiver.take()
    oci.ok("start", oci.id)
    assert receiver.read() == "via console\n"


def test_the_terminal_belongs_to_the_user(oci: Runtime, terminal: Bundle, receiver: Receiver) -> None:
    terminal.process["user"] = {"uid": 1000, "gid": 1000}
    terminal.shell("stat -L -c %u /proc/self/fd/0; echo x > $(tty) && echo ok")
    oci.create(terminal, "--console-socket", str(receiver.path))
    receiver.take()
    oci.ok("start", oci.id)
    assert receiver.read().splitlines() == ["1000", "x", "ok"]


def test_create_with_a_terminal_needs_a_console_socket(oci: Runtime, terminal: Bundle) -> None:
    said = oci.fails("create", "--bundle", str(terminal.write()), oci.id)
    assert "console" in said
    assert not oci.exists()


def test_a_console_socket_needs_a_terminal(oci: Runtime, bundle: Bundle, receiver: Receiver) -> None:
    if oci.name == "crun":
        pytest.skip("crun 1.8.1 hangs")
    said = oci.fails("create", "--bundle", str(bundle.write()), "--console-socket", str(receiver.path), oci.id)
    assert "cannot use console socket" in said


def test_a_console_socket_that_is_not_there(oci: Runtime, terminal: Bundle) -> None:
    oci.fails("create", "--bundle", str(terminal.write()), "--console-socket", "/nowhere/console", oci.id)
    assert not oci.exists()


def test_exec_with_a_console_socket(oci: Runtime, bundle: Bundle, receiver: Receiver) -> None:
    oci.running(bundle.sleep())
    words = ["sh", "-c", "test -t 0 && echo tty"]
    oci.ok("exec", "--tty", "--detach", "--console-socket", str(receiver.path), oci.id, *words)
    receiver.take()
    assert receiver.read() == "tty\n"


def _in_terminal(words: list[str], typed: bytes = b"", rows: int = 30, columns: int = 90) -> tuple[str, int]:
    """Run a command with a terminal of its own; what appears there, and its exit status."""
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    with subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True) as process:
        os.close(slave)
        if typed:
            os.write(master, typed)
        said = read_all(master)
        code = process.wait(PATIENCE)
    os.close(master)
    return said, code


def test_run_in_the_foreground_lends_our_terminal(oci: Runtime, terminal: Bundle) -> None:
    terminal.shell("test -t 0 && echo tty; stty size; read line; echo got $line; exit 5").write()
    said, code = _in_terminal([*oci.argv, "run", "--bundle", str(terminal.path), oci.id], typed=b"typed\n")
    assert code == 5
    assert {"tty", "30 90", "got typed"} <= set(said.splitlines())


def test_exec_in_the_foreground_lends_our_terminal(oci: Runtime, bundle: Bundle) -> None:
    oci.running(bundle.sleep())
    words = [*oci.argv, "exec", "--tty", oci.id, "sh", "-c", "stty size; exit 6"]
    said, code = _in_terminal(words)
    assert (said.split(), code) == (["30", "90"], 6)


def test_much_output_arrives_whole(oci: Runtime, terminal: Bundle) -> None:
    terminal.shell("seq 1 20000").write()
    said, code = _in_terminal([*oci.argv, "run", "--bundle", str(terminal.path), oci.id])
    assert code == 0
    assert [int(line) for line in said.splitlines()] == list(range(1, 20001))

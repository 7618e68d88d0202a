"""What service managers and services agree on: NOTIFY_SOCKET, to hear of readiness and nothing else; LISTEN_FDS."""

from __future__ import annotations

import array
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.oci import Bundle, Runtime, eventually
from tests.needs import enforce

pytestmark = pytest.mark.parametrize("oci", ["urun"], indirect=True)  # crun 1.8.1 and runc 1.1.5 may wait for ever
PATIENCE = 20.0
# nc of busybox knows no datagrams of AF_UNIX: this is a static program that sends its argument.
SOURCE = r"""
#include <string.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
int main(int count, char **words)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	strcpy(address.sun_path, getenv("NOTIFY_SOCKET"));
	int descriptor = socket(AF_UNIX, SOCK_DGRAM, 0);
	return sendto(descriptor, words[1], strlen(words[1]), 0, (void *)&address, sizeof address) < 0;
}
"""


class Manager:
    """A service manager's socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.environment = os.environ | {"NOTIFY_SOCKET": str(path)}

    def said(self) -> str:
        """The next message; a barrier lets its sender go on."""
        assert select.select([self._socket], [], [], PATIENCE)[0], "nothing came"
        data, ancillary, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(4))
        for _, _, rights in ancillary:
            os.close(array.array("i", rights)[0])
        return data.decode().strip()

    def silent(self) -> bool:
        return not select.select([self._socket], [], [], 0)[0]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    running = Manager(tmp_path / "manager.sock")
    yield running
    running.close()


@pytest.fixture(scope="module")
def sender(tmp_path_factory: pytest.TempPathFactory) -> Path:
    enforce("gcc")
    program = tmp_path_factory.mktemp("notify") / "say"
    subprocess.run(["gcc", "-static", "-o", program, "-x", "c", "-"], input=SOURCE, text=True, check=True)
    return program


@pytest.fixture
def speaking(bundle: Bundle, sender: Path) -> Bundle:
    """A container that says a good deal, and that it is ready."""
    os.link(sender, bundle.rootfs / "bin/say")
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    return bundle.shell(
        "say STATUS=starting; say 'MAINPID=1\nREADY=1\nFDSTORE=1'; trap 'exit 3' TERM; sleep 1000 & wait"
    )


def test_run_detached_returns_when_it_is_ready(oci: Runtime, speaking: Bundle, manager: Manager) -> None:
    command = [*oci.argv, "run", "--detach", "--bundle", str(speaking.write()), oci.id]
    with subprocess.Popen(command, env=manager.environment, stdin=subprocess.DEVNULL) as running:
        oci._made.append(oci.id)
        assert manager.said() == "READY=1"
        assert manager.said() == f"MAINPID={oci.state()['pid']}"
        assert manager.said() == "BARRIER=1"
        assert running.wait(PATIENCE) == 0
    assert manager.silent()


def test_start_returns_when_it_is_ready(oci: Runtime, speaking: Bundle, manager: Manager) -> None:
    os.environ["NOTIFY_SOCKET"] = manager.environment["NOTIFY_SOCKET"]
    try:
        oci.create(speaking)
    finally:
        del os.environ["NOTIFY_SOCKET"]
    with subprocess.Popen([*oci.argv, "start", oci.id], env=manager.environment) as running:
        assert manager.said() == "READY=1"
        assert manager.said() == f"MAINPID={oci.state()['pid']}"
        assert manager.said() == "BARRIER=1"
        assert running.wait(PATIENCE) == 0
    assert manager.silent()


def test_in_the_foreground_we_are_the_main_process(oci: Runtime, speaking: Bundle, manager: Manager) -> None:
    command = [*oci.argv, "run", "--bundle", str(speaking.write()), oci.id]
    with subprocess.Popen(command, env=manager.environment, stdin=subprocess.DEVNULL) as running:
        oci._made.append(oci.id)
        assert manager.said() == "READY=1"
        eventually(lambda: oci.status() == "running", "the container")
        running.terminate()
        assert running.wait(PATIENCE) == 3
    assert not oci.exists()


def test_a_container_that_ends_without_a_word_keeps_nobody_waiting(
    oci: Runtime, bundle: Bundle, manager: Manager
) -> None:
    done = oci.run(bundle.shell("exit 0"), "--detach", env=manager.environment)
    assert done.returncode == 0, done.stderr


def test_the_word_is_seen_inside_alone_and_can_not_be_changed(oci: Runtime, bundle: Bundle, manager: Manager) -> None:
    script = "echo $NOTIFY_SOCKET; ls -a /run/notify; rm /run/notify/notify.sock 2>/dev/null || echo kept"
    done = oci.run(bundle.shell(script), env=manager.environment)
    assert done.stdout.split() == ["/run/notify/notify.sock", ".", "..", "notify.sock", "kept"], done.stderr


TOLD = 'test -S /proc/self/fd/3 && test "$LISTEN_PID" = $$ && echo $LISTEN_FDS'
AS_THREE = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execv(sys.argv[2], sys.argv[2:])"


def _with_listener(oci: Runtime, *words: str) -> str:
    """What the runtime prints that has a listening socket as descriptor 3, as a service manager starts it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        done = subprocess.run(
            [sys.executable, "-c", AS_THREE, str(listener.fileno()), *oci.argv, *words],
            env=os.environ | {"LISTEN_FDS": "1"},
            pass_fds=(listener.fileno(),),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("own_pids", [True, False])
def test_listening_sockets_are_the_program_s(oci: Runtime, bundle: Bundle, own_pids: bool) -> None:
    """sd_listen_fds(3) believes only who names the process's own number, in a pid namespace that is shared, too."""
    if not own_pids:
        bundle.linux["namespaces"] = [each for each in bundle.linux["namespaces"] if each["type"] != "pid"]
    oci._made.append(oci.id)
    assert _with_listener(oci, "run", "--bundle", str(bundle.shell(TOLD).write()), oci.id) == "1\n"


def test_listening_sockets_are_those_of_exec(oci: Runtime, bundle: Bundle) -> None:
    oci.running(bundle.sleep())
    assert _with_listener(oci, "exec", oci.id, "sh", "-c", TOLD) == "1\n"

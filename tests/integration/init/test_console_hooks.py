"""The terminal, the owners of stdio, and hooks."""

from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path

import pytest

from tests.integration.init.conftest import DEV, DEVPTS, PROC, plan_of, prelude, shell
from tests.needs import needs
from utsuwa.errors import FailedPrecondition, NotFound
from utsuwa.init.failure import NOT_DEVPTS, OpFailed
from utsuwa.init.spawn import spawn
from utsuwa.plan import ops

pytestmark = needs("root")


def with_console(run, *operations: ops.Op) -> tuple[int, str, bytes]:
    """Exit status, the payload with the master, and all that the terminal said."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        child = run.start(*operations, slots={ops.CONSOLE_SOCKET: theirs.fileno()})
        theirs.close()
        while child.next() is not None:
            pass
        payload, descriptors, _, _ = socket.recv_fds(ours, 100, 2)
    assert len(descriptors) == 1
    printed = b""
    try:
        while data := os.read(descriptors[0], 4096):
            printed += data
    except OSError:
        pass  # EIO: the other side is closed
    finally:
        os.close(descriptors[0])
    return run.reap(child), payload.decode(), printed


def test_console_is_the_containers_own_terminal(run, root):
    console = ops.Console(ops.CONSOLE_SOCKET, 33, 77, 1000, 1)
    script = (
        "/bin/busybox readlink /proc/self/fd/0; /bin/busybox stty size; /bin/busybox stat -c %u:%g:%a /dev/pts/0; "
        "echo there > /dev/tty; echo also > /dev/console; exit 9"
    )
    tty = ops.Mknod("/dev/tty", stat.S_IFCHR | 0o666, 5, 0, 0, 0)
    steps = (*prelude(root, DEV, tty, DEVPTS, PROC), ops.NewSession(), ops.Pivot(), console)
    status, payload, printed = with_console(run, *steps, shell(script))
    assert (status, payload) == (9, "/dev/pts/0")
    assert printed == b"/dev/pts/0\r\n33 77\r\n1000:5:620\r\nthere\r\nalso\r\n"


def test_console_never_follows_a_link(run, root, tmp_path):
    """CVE-2026-88264: /dev/console of the image leads to the host."""
    (root / "dev/pts").mkdir()
    (root / "dev/console").symlink_to(tmp_path / "made")
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(OpFailed):
        console = ops.Console(ops.CONSOLE_SOCKET, 0, 0, 0, 1)
        steps = (*prelude(root, DEVPTS), ops.NewSession(), ops.Pivot(), console, shell("exit 0"))
        run(*steps, slots={ops.CONSOLE_SOCKET: theirs.fileno()})
    assert not (tmp_path / "made").exists()


def test_console_needs_a_real_devpts(run, root):
    (root / "dev/pts").mkdir()
    os.mknod(root / "dev/pts/ptmx", stat.S_IFCHR | 0o666, os.makedev(5, 2))
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(OpFailed) as raised:
        steps = (*prelude(root), ops.NewSession(), ops.Pivot(), ops.Console(ops.CONSOLE_SOCKET), shell("exit 0"))
        run(*steps, slots={ops.CONSOLE_SOCKET: theirs.fileno()})
    assert raised.value.detail == NOT_DEVPTS


def test_only_pipes_change_their_owner(run, root):
    reader, writer = os.pipe()
    null = os.stat("/dev/null")
    saved = [os.dup(0), os.dup(1)]
    nothing = os.open("/dev/null", os.O_RDONLY)
    try:
        os.dup2(nothing, 0)
        os.dup2(writer, 1)
        child = spawn(plan_of(*prelude(root), ops.StdioOwner(1000, 1001), ops.Pivot(), shell("exit 0")))
    finally:
        for number, original in enumerate(saved):
            os.dup2(original, number)
            os.close(original)
        os.close(nothing)
        os.close(writer)
    try:
        while child.next() is not None:
            pass
        owner = os.fstat(reader)
        assert (owner.st_uid, owner.st_gid) == (1000, 1001)
        assert (os.stat("/dev/null").st_uid, os.stat("/dev/null").st_mode) == (null.st_uid, null.st_mode)
    finally:
        os.waitpid(child.pid, 0)
        os.close(reader)


def hook(script: str, *, timeout: int = 0, padding: str = "") -> ops.Hook:
    before, after = '{"id":"c","pid":', f',"padding":"{padding}"}}'
    args = ("sh", "-c", script)
    return ops.Hook(ops.CREATE_CONTAINER, 1, "/bin/busybox", args, ("KEY=value",), timeout, before, after)


def test_hook_gets_the_state_and_its_environment(run, root, tmp_path):
    out = tmp_path / "out"
    script = f"cat > {out}; echo $KEY $0 > {out}.env; ls /proc/self/fd > {out}.fds; exit 0"
    plan = (*prelude(root), hook(script, padding="x" * 100_000), ops.Pivot(), shell("exit 0"))
    run(*plan)
    state = json.loads(out.read_text())
    assert state["pid"] == 1 and len(state["padding"]) == 100_000
    assert Path(f"{out}.env").read_text().split()[0] == "value"
    # stdio, and what ls reads: nothing of the executor
    assert Path(f"{out}.fds").read_text().split() == ["0", "1", "2", "3"]


def test_failing_hook(run, root):
    with pytest.raises(FailedPrecondition) as raised:
        run(*prelude(root), hook("exit 3"), ops.Pivot(), shell("exit 0"))
    assert str(raised.value) == "error running createContainer hook #1: exit status 3"


def test_hook_that_can_not_be_started(run, root):
    missing = ops.Hook(ops.START_CONTAINER, 0, "/nosuch", (), (), 0, "", "")
    with pytest.raises(NotFound, match="error running startContainer hook #0: /nosuch: no such file or directory"):
        run(*prelude(root), missing, ops.Pivot(), shell("exit 0"))


def test_hook_that_takes_too_long_is_killed_with_its_children(run, root, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(FailedPrecondition, match="timed out after 150 ms"):
            run(
                *prelude(root), hook(f"exec > {fifo}; sleep 100 & sleep 100", timeout=150), ops.Pivot(), shell("exit 0")
            )
        assert os.read(reader, 1) == b""  # nobody is left who could write
    finally:
        os.close(reader)

"""An executor that waits for its plan: what it does with one, with a broken one, and with none."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.integration.init.conftest import NEW_MOUNTS, prelude, shell
from tests.needs import needs
from utsuwa.errors import FailedPrecondition, NotFound
from utsuwa.init.channel import CLONED, EXECUTING, REQUEST
from utsuwa.init.encode import encode
from utsuwa.init.failure import OpFailed
from utsuwa.init.spare import CHANNEL, Spare, numbers
from utsuwa.init.spawn import Child
from utsuwa.plan import ops
from utsuwa.plan.ahead import begin
from utsuwa.plan.plan import Plan, Step

pytestmark = needs("root")
_NEW_PIDS = 0x20000000


def _rest(root: Path, *operations: ops.Op) -> Plan:
    return Plan([Step(op, "") for op in (*prelude(root, flags=NEW_MOUNTS | _NEW_PIDS), *operations)])


def _go_on(spare: Spare, plan: Plan, slots: dict[str, int] | None = None) -> Child:
    return spare.go_on(encode(plan.ops, numbers(slots or {}), CHANNEL), lambda: plan, slots or {})


def _end(child: Child) -> int:
    try:
        while child.next() is not None:
            pass
    finally:
        child.close()
        status = os.waitpid(child.pid, 0)[1] if child.pid else 0
    return os.waitstatus_to_exitcode(status)


@pytest.fixture(autouse=True)
def scheduling():
    """This process plays the one that looks on."""
    before = os.sched_getscheduler(0)
    yield
    os.sched_setscheduler(0, before, os.sched_param(0))


def test_the_rest_is_carried_out_in_namespaces_made_ahead(root, capfd):
    spare = Spare(begin())
    inside = [f"/proc/self/ns/{kind}" for kind in ("net", "ipc", "uts")]
    links = "; ".join(f"busybox readlink {path}" for path in inside)
    mounts = "busybox mount -t proc proc /proc; busybox mount -t sysfs sysfs /sys"
    script = f"{mounts}; {links}; busybox cat /sys/class/net/lo/flags"
    child = _go_on(spare, _rest(root, ops.Pivot(), ops.Hostname("ahead"), shell(script)))
    assert _end(child) == 0
    *found, flags = capfd.readouterr().out.split()
    assert len(found) == 3
    assert not set(found) & {os.readlink(path) for path in inside}
    assert int(flags, 16) & 1, "the loopback interface is up"
    assert socket.gethostname() != "ahead"


def test_reports_count_from_the_new_plan(root):
    spare = Spare(begin())
    plan = _rest(root, ops.Pivot(), ops.FindExecutable("/bin/none", ""), shell("exit 0"))
    child = _go_on(spare, plan)
    assert child.next().kind == CLONED
    with pytest.raises(NotFound, match="/bin/none") as caught:
        child.next()
    assert isinstance(caught.value, OpFailed)
    assert caught.value.op is plan.ops[4]
    child.close()
    os.waitpid(child.pid, 0)


def test_its_streams_and_descriptors_are_the_callers(root, tmp_path, capfd):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    spare = Spare(begin())
    inside = tmp_path / "printed"
    saved = os.dup(1)
    with inside.open("wb") as file:
        os.dup2(file.fileno(), 1)
    mounts = (
        ops.Mount("tmpfs", "tmpfs", "/dev", ("mode=755",)),
        ops.Mount("devpts", "devpts", "/dev/pts", ("newinstance", "ptmxmode=0666")),
    )
    try:
        plan = _rest(
            root, *mounts, ops.Pivot(), ops.NewSession(), ops.Console(ops.CONSOLE_SOCKET), shell("tty; ls /tmp")
        )
        child = _go_on(spare, plan, {ops.CONSOLE_SOCKET: theirs.fileno()})
        theirs.close()
        name, rights, _flags, _address = socket.recv_fds(ours, 100, 1)
        assert name.startswith(b"/dev/pts/")
        assert _end(child) == 0
        assert os.read(rights[0], 100).startswith(name)
        os.close(rights[0])
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        ours.close()


def test_its_streams_come_with_an_answer(root, tmp_path):
    spare = Spare(begin())
    plan = _rest(root, ops.Ask(ops.CGROUPS), ops.Pivot(), shell("read word; echo got $word; echo bad >&2"))
    child = spare.go_on(encode(plan.ops, {}, CHANNEL), lambda: plan, {}, streams=False)
    saved = [os.dup(number) for number in range(3)]
    given, printed, complained = (tmp_path / name for name in ("given", "printed", "complained"))
    given.write_text("this\n")
    try:
        for number, path in enumerate((given, printed, complained)):
            fd = os.open(path, os.O_RDWR | os.O_CREAT)
            os.dup2(fd, number)
            os.close(fd)
        child.reply(streams=True)
    finally:
        for number, fd in enumerate(saved):
            os.dup2(fd, number)
            os.close(fd)
    assert _end(child) == 0
    assert (printed.read_text(), complained.read_text()) == ("got this\n", "bad\n")


def test_an_answer_with_two_streams_is_refused(root):
    plan = _rest(root, ops.Ask(ops.CGROUPS), ops.Pivot(), shell("exit 0"))
    child = _go_on(Spare(begin()), plan)
    socket.send_fds(child._channel._connection, [(1).to_bytes(8, "little")], [0, 1])
    with pytest.raises(OpFailed) as caught:
        _end(child)
    assert caught.value.op == ops.Ask(ops.CGROUPS)


def test_one_that_nobody_needs_ends(root):
    spare = Spare(begin())
    before = set(os.listdir("/proc/self/fd"))
    spare.dismiss()
    assert len(os.listdir("/proc/self/fd")) < len(before)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("damage", ["cut", "magic", "number of operations"])
def test_a_malformed_rest_is_refused(root, damage):
    plan = _rest(root, ops.Pivot(), shell("exit 0"))
    wire = bytearray(encode(plan.ops, {}, CHANNEL))
    if damage == "cut":
        del wire[-8:]
    else:
        wire[0 if damage == "magic" else 8] ^= 0x40
    child = Spare(begin()).go_on(bytes(wire), lambda: plan, {})
    with pytest.raises((OpFailed, FailedPrecondition)):
        child.next()
    child.close()


def test_an_answer_may_come_before_the_question(root):
    child = _go_on(Spare(begin()), _rest(root, ops.Ask(ops.READY), ops.Pivot(), shell("exit 3")))
    child.reply()
    kinds = [child.next().kind, child.next().kind]
    if kinds[1] == REQUEST:  # on a busy machine it asked before there was an answer
        kinds[1] = child.next().kind
    assert kinds == [CLONED, EXECUTING]
    assert _end(child) == 3


def test_an_answer_that_nobody_reads_hides_no_failure(root):
    """The kernel tells first that the connection was reset, and then what came before."""
    plan = _rest(root, ops.Mount("nosuch", "none", "/tmp"), ops.Ask(ops.READY), shell("exit 0"))
    child = _go_on(Spare(begin()), plan)
    child.reply()
    assert child.next().kind == CLONED
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(OpFailed, match="nosuch"):
        child.next()
    child.close()
    os.waitpid(child.pid, 0)

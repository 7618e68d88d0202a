"""From spawn to exec: reports, descriptors, identity, users, the little init, what a container sees of the executor."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.init.conftest import DEV, NEW_NAMESPACES, PROC, prelude, shell
from tests.needs import needs
from utsuwa.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from utsuwa.init.channel import CLONED, EXECUTING, REQUEST, WAITING, Channel
from utsuwa.init.failure import OpFailed
from utsuwa.init.spawn import sealed
from utsuwa.plan import ops
from utsuwa.plan.plan import Plan

pytestmark = needs("root")


def test_reports_come_in_the_order_of_the_plan(run, root):
    child = run.start(*prelude(root), ops.Ask(ops.READY), ops.Pivot(), shell("exit 7"))
    seen = []
    while (report := child.next()) is not None:
        seen.append(report.kind)
        if report.kind == REQUEST:
            assert report.value == ops.READY
            child.reply()
    assert seen == [CLONED, REQUEST, EXECUTING]
    assert run.reap(child) == 7


def test_hanging_up_on_a_request_ends_the_child(run, root):
    child = run.start(*prelude(root), ops.Ask(ops.READY), ops.Pivot(), shell("exit 7"))
    assert [child.next().kind, child.next().kind] == [CLONED, REQUEST]
    assert run.reap(child) == 1


def test_death_without_a_word_is_an_error(run, root):
    child = run.start(*prelude(root), ops.Ask(ops.READY), ops.Pivot(), shell("exit 7"))
    assert [child.next().kind, child.next().kind] == [CLONED, REQUEST]
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(FailedPrecondition, match="ended before"):
        child.next()


def test_first_error_wins_and_names_its_operation(run, root):
    with pytest.raises(OpFailed) as raised:
        run(*prelude(root, ops.Mount("nosuchfs", "", "/tmp"), PROC), ops.Pivot(), shell("exit 0"))
    assert isinstance(raised.value.op, ops.Mount) and raised.value.op.fstype == "nosuchfs"


def test_error_before_the_clone_leaves_no_child(run):
    child = run.start(ops.JoinNamespaces((0x20000,), ("/nowhere",)), ops.Clone(0), ops.Exec(("/bin/true",), ()))
    with pytest.raises(NotFound, match="/nowhere"):
        child.next()
    assert child.pid == 0


def test_wrong_type_of_namespace(run):
    with pytest.raises(OpFailed, match="/proc/self/ns/ipc"):
        run(ops.JoinNamespaces((0x20000,), ("/proc/self/ns/ipc",)), ops.Clone(0), ops.Exec(("/bin/true",), ()))


def test_no_descriptor_leaks_and_kept_ones_stay(run, root):
    leak = os.open("/", os.O_RDONLY)
    kept = os.open(root / "etc/passwd", os.O_RDONLY)
    try:
        os.set_inheritable(leak, True)
        script = "exec /bin/busybox ls /proc/self/fd"  # a shell has descriptors of its own, now and then
        output = run(*prelude(root, PROC), ops.Pivot(), shell(script), keep=(kept,))
        assert not os.get_inheritable(kept)
    finally:
        os.close(leak)
        os.close(kept)
    numbers = [int(word) for word in output.split()]
    # 0-2, the kept one, and the directory that ls itself reads
    assert kept in numbers and len([number for number in numbers if number > 2 and number != kept]) <= 1


def test_closed_stdio_is_filled(root):
    """Descriptors of the plan and the channel must not take the places of stdin and its sisters."""
    program = (
        "import os; os.closerange(0, 3)\n"
        "from tests.integration.init.conftest import *\n"
        "script = 'for n in 0 2; do /bin/busybox readlink /proc/$$/fd/$n >&3; done 3> /tmp/out'\n"
        f"child = spawn(plan_of(*prelude({str(root)!r}, PROC), ops.Pivot(), shell(script)))\n"
        "while child.next() is not None: pass\n"
        "os._exit(os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]))\n"
    )
    top = Path(__file__).resolve().parents[3]
    environment = {"PYTHONPATH": f"{top}:{top}/src", "PATH": os.environ["PATH"]}
    assert subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode == 0
    assert (root / "tmp/out").read_text().splitlines() == ["/dev/null"] * 2


def test_signals_are_at_their_defaults(run, root):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        grep = ("/bin/busybox", "grep", "-E", "Sig(Ign|Blk)", "/proc/self/status")
        output = run(*prelude(root, PROC), ops.Pivot(), ops.Exec(grep, ()))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert output.split()[1::2] == ["0" * 16, "0" * 16]


@pytest.mark.parametrize(
    ("file", "search", "error", "text"),
    [
        ("nosuch", "/sbin:/bin", NotFound, 'exec: "nosuch": executable file not found in $PATH'),
        ("/nosuch", "", NotFound, 'exec: "/nosuch": no such file or directory'),
        ("passwd", "/nowhere:/etc", PermissionDenied, 'exec: "passwd": permission denied'),
        ("/etc", "", OpFailed, 'exec: "/etc": is a directory'),
    ],
)
def test_executable_that_can_not_be_found(run, root, file, search, error, text):
    with pytest.raises(error) as raised:
        run(*prelude(root), ops.Pivot(), ops.FindExecutable(file, search), ops.Exec((file,), ()))
    assert str(raised.value) == text


@pytest.mark.parametrize("search", ["/nowhere:/bin", ":/bin", "/bin", "/etc:/bin:"])
def test_executable_is_found_in_path(run, root, search):
    steps = (ops.FindExecutable("busybox", search), ops.Exec(("busybox", "echo", "found"), ()))
    assert run(*prelude(root), ops.Pivot(), *steps) == "found\n"


def test_identity_capabilities_and_limits(run, root):
    status = "/bin/busybox grep -E '^(Uid|Gid|Groups|Cap|NoNew)' /proc/self/status; umask; ulimit -n"
    output = run(
        ops.Rlimit(resource.RLIMIT_NOFILE, 100, 200),
        *prelude(root, PROC),
        ops.Pivot(),
        ops.NoNewPrivs(),
        ops.DropBounding(0b1011),
        ops.SetIdentity(1000, 1001, (50, 51), 0o27),
        ops.Capabilities(0b1, 0b11, 0b10, 0b10),
        shell(status),
    )
    lines = output.splitlines()
    facts = {name: value.split() for name, _, value in (line.partition(":") for line in lines[:-2])}
    assert facts["Uid"] == ["1000"] * 4 and facts["Gid"] == ["1001"] * 4 and facts["Groups"] == ["50", "51"]
    # a program without file capabilities keeps the ambient ones only
    assert [facts[name] for name in ("CapBnd", "CapAmb", "CapPrm", "CapEff", "CapInh")] == [
        ["000000000000000b"],
        *[["0000000000000002"]] * 4,
    ]
    assert facts["NoNewPrivs"] == ["1"]
    assert lines[-2:] == ["0027", "100"]


@pytest.mark.parametrize(
    ("user", "ids", "home"),
    [
        ("", "0 0 0", "/root"),
        ("joe", "1000 1001 1001 50 10", "/home/joe"),
        ("1000", "1000 1001 1001 50 10", "/home/joe"),
        ("joe:staff", "1000 50 50", "/home/joe"),
        ("joe:77", "1000 77 77", "/home/joe"),
        ("4711", "4711 0 0", "/"),
        ("4711:staff", "4711 50 50", "/"),
        ("0", "0 0 0", "/root"),
        (":staff", "0 50 50", "/root"),
    ],
)
def test_find_user(run, root, user, ids, home):
    script = "echo $(/bin/busybox id -u) $(/bin/busybox id -g) $(/bin/busybox id -G) $HOME"
    steps = (ops.FindUser(user), ops.SetHome(0), ops.SetIdentity(99, 99, (), 0o22))
    printed = run(*prelude(root, PROC), ops.Pivot(), *steps, shell(script, env=("HOME=",)))
    expected = ids.split()
    # the kernel keeps them sorted
    groups = sorted(set(expected[1:]), key=lambda group: (group != expected[1], int(group)))
    assert printed.split() == [*expected[:2], *groups, home]


def test_a_user_may_be_in_more_groups_than_anybody_expects(run, root):
    (root / "etc/group").write_text("".join(f"g{gid}:x:{gid}:joe\n" for gid in range(2000, 5000)))
    steps = (ops.FindUser("joe"), ops.SetIdentity(99, 99, (), 0o22))
    count = "/bin/busybox grep Groups: /proc/self/status | /bin/busybox wc -w"
    assert run(*prelude(root, PROC), ops.Pivot(), *steps, shell(count)) == "3002\n"


def test_more_groups_than_the_kernel_takes_are_an_error(run, root):
    (root / "etc/group").write_text("".join(f"g{gid}:x:{gid}:joe\n" for gid in range(2000, 68000)))
    with pytest.raises(InvalidArgument, match="become user"):
        run(*prelude(root), ops.Pivot(), ops.FindUser("joe"), ops.SetIdentity(99, 99, (), 0o22), shell("true"))


def test_a_number_is_never_a_name(run, root):
    (root / "etc/passwd").write_text("0:x:1000:1000::/:\n1000:x:0:0::/:\n")
    steps = (ops.FindUser("1000"), ops.SetIdentity(99, 99, (), 0o22))
    assert run(*prelude(root), ops.Pivot(), *steps, shell("/bin/busybox id -u")) == "1000\n"


@pytest.mark.parametrize(("user", "text"), [("ann", "user ann"), ("joe:none", "group none"), ("-1", "user -1")])
def test_unknown_user_or_group(run, root, user, text):
    with pytest.raises(NotFound, match=f"unable to find {text}: no matching entries"):
        run(*prelude(root), ops.Pivot(), ops.FindUser(user), shell("exit 0"))


def test_passwd_that_leads_out_of_the_root_is_not_read(run, root, tmp_path):
    (tmp_path / "passwd").write_text("eve:x:1:1::/:\n")
    (root / "etc/passwd").unlink()
    (root / "etc/passwd").symlink_to(tmp_path / "passwd")
    with pytest.raises(NotFound, match="unable to find user eve"):
        run(*prelude(root), ops.Pivot(), ops.FindUser("eve"), shell("exit 0"))


def test_passwd_that_would_block_is_refused(run, root):
    (root / "etc/passwd").unlink()
    os.mkfifo(root / "etc/passwd")
    with pytest.raises(OpFailed):
        run(*prelude(root), ops.Pivot(), ops.FindUser("joe"), shell("exit 0"))


def test_home_that_is_given_wins(run, root):
    steps = (ops.SetHome(1000), shell("echo $HOME", env=("HOME=/mine",)))
    assert run(*prelude(root), ops.Pivot(), *steps) == "/mine\n"
    assert run(*prelude(root), ops.Pivot(), ops.SetHome(1000), shell("echo $HOME")) == "/home/joe\n"


def test_working_directory_is_made_and_entered(run, root):
    steps = (ops.Workdir("/srv/a/b"), ops.Chdir("/srv/a/b"), shell("pwd"))
    assert run(*prelude(root), ops.Pivot(), *steps) == "/srv/a/b\n"
    assert (root / "srv/a/b").stat().st_mode & 0o7777 == 0o755


def test_a_directory_outside_the_root_is_no_working_directory(run, root):
    host = os.open("/", os.O_RDONLY)
    try:
        steps = (PROC, ops.Pivot(), ops.Chdir(f"/proc/self/fd/{host}"), shell("pwd"))
        with pytest.raises(OpFailed, match="outside of the container's root"):
            run(*prelude(root), *steps, keep=(host,))
    finally:
        os.close(host)


def test_start_waits_for_a_connection(run, root, tmp_path):
    path = str(tmp_path / "start")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen(1)
        slots = {ops.START_LISTENER: listener.fileno()}
        child = run.start(*prelude(root), ops.Pivot(), ops.AwaitStart(ops.START_LISTENER), shell("exit 3"), slots=slots)
    assert [child.next().kind, child.next().kind] == [CLONED, WAITING]
    assert child.next() is None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(path)
    channel = Channel(connection, lambda: Plan(()))
    assert channel.next().kind == EXECUTING
    assert channel.next() is None
    assert run.reap(child) == 3


def test_supervisor_reaps_forwards_and_tells_the_status(run, root):
    script = "trap 'echo got it; exit 5' TERM; (/bin/busybox true &); echo $$ ready; while :; do sleep 0.02; done"
    reader, writer = os.pipe()
    saved = os.dup(1)
    os.dup2(writer, 1)
    try:
        child = run.start(*prelude(root, PROC), ops.Pivot(), ops.Supervise(), shell(script))
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(writer)
    while child.next() is not None:
        pass
    with open(reader) as output:
        assert output.readline() == "2 ready\n"
        os.kill(child.pid, signal.SIGTERM)
        assert run.reap(child) == 5
        assert output.read() == "got it\n"


def test_supervisor_translates_a_signal(run, root):
    child = run.start(*prelude(root), ops.Pivot(), ops.Supervise(), shell("kill -KILL $$"))
    assert run.follow(child) == 128 + signal.SIGKILL


def test_supervisor_does_not_hide_a_failing_exec(run, root):
    with pytest.raises(NotFound, match="exec /nosuch"):
        run(*prelude(root), ops.Pivot(), ops.Supervise(), ops.Exec(("/nosuch",), ()))


def test_executor_can_not_be_changed_through_its_link(run, root):
    child = run.start(*prelude(root), ops.Ask(ops.READY), ops.Pivot(), shell("exit 0"))
    assert [child.next().kind, child.next().kind] == [CLONED, REQUEST]
    with pytest.raises(OSError):
        os.open(f"/proc/{child.pid}/exe", os.O_WRONLY)
    with pytest.raises(PermissionError):
        os.write(sealed(), b"x")
    with pytest.raises(PermissionError):
        os.ftruncate(sealed(), 0)
    child.reply()
    assert run.follow(child) == 0


def test_not_dumpable_hides_the_process(run, root):
    child = run.start(
        *prelude(root), ops.SetIdentity(1000, 1000, (), 0), ops.NotDumpable(), ops.Ask(ops.READY), ops.Exec(("/x",), ())
    )
    assert [child.next().kind, child.next().kind] == [CLONED, REQUEST]
    # what is not dumpable belongs to root, whoever it runs as
    assert Path(f"/proc/{child.pid}/environ").stat().st_uid == 0
    assert Path(f"/proc/{child.pid}/status").read_text().startswith("Name:\tutsuwa-init\n")
    assert run.reap(child) == 1


def test_oom_score_hostname_and_loopback(run, root):
    read = "/bin/busybox cat /proc/self/oom_score_adj; /bin/busybox hostname; /bin/busybox ip link show lo"
    output = run(
        ops.OomScoreAdj(500),
        *prelude(root, PROC, flags=NEW_NAMESPACES | 0x40000000),
        ops.LoopbackUp(),
        ops.Hostname("vessel"),
        ops.Pivot(),
        shell(read),
    )
    assert output.startswith("500\nvessel\n") and "UP" in output


def test_sysctl_goes_through_a_private_procfs(run, root):
    fake = root / "proc/sys/net/ipv4"
    fake.mkdir(parents=True)
    (fake / "ip_forward").write_text("fake")
    steps = (ops.Pivot(), ops.Sysctl("net/ipv4/ip_forward", "1"), ops.Sysctl("kernel/shm_rmid_forced", "1"))
    mount = "/bin/busybox mount -t proc p /tmp && /bin/busybox cat /tmp/sys/net/ipv4/ip_forward"
    output = run(*prelude(root, flags=NEW_NAMESPACES | 0x40000000), *steps, shell(mount))
    assert output == "1\n" and (fake / "ip_forward").read_text() == "fake"


@needs("cgroup1")
def test_joins_cgroups_by_tasks(run, root):
    group = Path(f"/sys/fs/cgroup/pids/utsuwa-test-{os.getpid()}")
    group.mkdir()
    try:
        steps = (ops.JoinCgroups((str(group),)), DEV, PROC, ops.Pivot(), shell("/bin/busybox cat /proc/self/cgroup"))
        assert f"pids:/{group.name}\n" in run(*prelude(root), *steps)
        with pytest.raises(NotFound, match="utsuwa-test-none"):
            run(*prelude(root), ops.JoinCgroups((str(group), "/sys/fs/cgroup/pids/utsuwa-test-none")), ops.Pivot())
    finally:
        group.rmdir()


def test_enters_a_running_container(run, root):
    first = run.start(*prelude(root, PROC), ops.Pivot(), ops.Hostname("first"), ops.Ask(ops.READY), shell("exit 0"))
    assert [first.next().kind, first.next().kind] == [CLONED, REQUEST]
    pidfd = os.pidfd_open(first.pid)
    try:
        steps = (ops.NotDumpable(), ops.Enter(ops.PIDFD, NEW_NAMESPACES), ops.Clone(0), ops.Chdir("/etc"))
        output = run(*steps, shell("echo $$; /bin/busybox hostname; pwd"), slots={ops.PIDFD: pidfd})
    finally:
        os.close(pidfd)
    assert output == "2\nfirst\n/etc\n"
    first.reply()
    assert run.follow(first) == 0

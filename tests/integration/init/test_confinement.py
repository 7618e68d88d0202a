"""User namespaces, joined namespaces, seccomp, device filters, keyrings."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import pytest

from tests.integration.init.conftest import NEW_NAMESPACES, PROC, SLAVE, prelude, shell
from tests.needs import needs
from utsuwa.errors import NotFound
from utsuwa.init.failure import BPF_LOAD, OpFailed
from utsuwa.plan import ops

pytestmark = needs("root")

NEW_USER = 0x10000000
UNIFIED = Path("/sys/fs/cgroup/unified")


def map_all(child) -> None:
    """The answer to ID_MAPS: every id is itself."""
    Path(f"/proc/{child.pid}/uid_map").write_text("0 0 65536")
    Path(f"/proc/{child.pid}/gid_map").write_text("0 0 65536")


def in_user_namespace(run, capfd, root, *operations: ops.Op) -> str:
    capfd.readouterr()
    child = run.start(
        ops.Clone(NEW_NAMESPACES | NEW_USER),
        ops.Ask(ops.ID_MAPS),
        ops.BecomeRoot(),
        ops.RootPropagation(SLAVE),
        ops.RootBind(str(root)),
        *operations,
    )
    assert run.follow(child, lambda request: map_all(child)) == 0
    return capfd.readouterr().out


def test_user_namespace_with_what_it_may_not_mount(run, capfd, root):
    sysfs = ops.Mount("sysfs", "/sys", "/sys", (), 1 | 2 | 4 | 8, flags=ops.FALLBACK_BIND)
    null = ops.Bind("/dev/null", "/dev/null")
    (root / "etc/secret").write_text("secret\n")
    output = in_user_namespace(
        run,
        capfd,
        root,
        PROC,
        sysfs,
        null,
        ops.Pivot(),
        ops.Mask("/etc/secret"),
        ops.Mask("/etc/secret"),
        ops.Mask("/srv"),
        ops.Sysctl("kernel/shm_rmid_forced", "1"),
        shell("/bin/busybox cat /proc/self/uid_map /etc/secret; echo x > /dev/null; /bin/busybox mount"),
    )
    lines = output.splitlines()
    assert lines[0].split() == ["0", "0", "65536"]
    system = [line for line in lines if " on /sys " in line]
    # all that came with the host's tree is read-only too (CVE-2023-25809)
    assert system and "(ro,nosuid,nodev,noexec" in system[0]
    assert all("(ro," in line for line in lines if " on /sys/" in line)


def test_without_permission_to_fall_back_it_is_an_error(run, capfd, root):
    with pytest.raises(OpFailed) as raised:
        in_user_namespace(run, capfd, root, ops.Mount("sysfs", "/sys", "/sys"), ops.Pivot(), shell("exit 0"))
    assert raised.value.errno == errno.EPERM


def test_namespaces_of_another_process_are_joined(run, capfd, root):
    first = run.start(
        ops.Clone(NEW_NAMESPACES | NEW_USER),
        ops.Ask(ops.ID_MAPS),
        ops.BecomeRoot(),
        ops.Hostname("first"),
        ops.Ask(ops.READY),
        ops.Exec(("/bin/true",), ()),
    )
    first.next()
    first.next()
    map_all(first)
    first.reply()
    first.next()
    try:
        kinds = (0x4000000, 0x8000000, NEW_USER)  # uts and ipc belong to the user namespace, and come before it here
        paths = tuple(f"/proc/{first.pid}/ns/{name}" for name in ("uts", "ipc", "user"))
        output = run(ops.JoinNamespaces(kinds, paths), ops.Clone(0), ops.Exec(("/bin/busybox", "hostname"), ()))
        assert output == "first\n"
    finally:
        first.reply()
        run.follow(first)


def test_seccomp_filter_is_loaded(run, root):
    """Everything is allowed but mkdir (there is none on aarch64) and mkdirat, which answer EADDRNOTAVAIL."""
    load, equal, give = 0x20, 0x15, 0x06
    numbers = (83, 258) if os.uname().machine == "x86_64" else (34,)
    instructions = [(load, 0, 0, 0)]
    for index, number in enumerate(numbers):
        instructions.append((equal, len(numbers) - index, 0, number))
    instructions += [(give, 0, 0, 0x7FFF0000), (give, 0, 0, 0x00050000 | errno.EADDRNOTAVAIL)]
    program = b"".join(struct.pack("<HBBI", *instruction) for instruction in instructions)
    script = "/bin/busybox mkdir /tmp/x 2>&1; /bin/busybox ls /tmp"
    output = run(*prelude(root), ops.Pivot(), ops.NoNewPrivs(), ops.Seccomp(program, 0), shell(script))
    assert output == "mkdir: can't create directory '/tmp/x': Cannot assign requested address\n"


def test_seccomp_program_of_no_size_is_refused(run, root):
    with pytest.raises(OpFailed):
        run(*prelude(root), ops.Pivot(), ops.Seccomp(b"", 0), shell("exit 0"))


def instruction(code: int, registers: int, immediate: int) -> bytes:
    return struct.pack("<BBhi", code, registers, 0, immediate)


def answer(value: int) -> bytes:
    """A device program that always says ``value``: mov r0, value; exit."""
    return instruction(0xB7, 0, value) + instruction(0x95, 0, 0)


@pytest.fixture
def unified():
    if not (UNIFIED / "cgroup.procs").exists():
        pytest.skip("no cgroup2 hierarchy at /sys/fs/cgroup/unified")
    group = UNIFIED / f"utsuwa-test-{os.getpid()}"
    group.mkdir()
    yield str(group)
    group.rmdir()


def test_device_filter_decides_and_is_replaced(run, unified):
    read = ops.Exec(("/bin/busybox", "dd", "if=/dev/zero", "of=/dev/null", "count=1"), ())
    steps = (ops.Clone(0, unified), read)
    run(ops.AttachDeviceFilter(unified, answer(1)), *steps)
    child = run.start(ops.AttachDeviceFilter(unified, answer(0)), *steps)
    assert run.follow(child) == 1
    # one took the place of the other: the last one says yes, and nobody says no any more
    run(ops.AttachDeviceFilter(unified, answer(1)), *steps)


def test_device_filter_that_the_kernel_refuses(run, unified):
    with pytest.raises(OpFailed) as raised:
        run(ops.AttachDeviceFilter(unified, instruction(0x95, 0, 0)), ops.Clone(0), ops.Exec(("/bin/true",), ()))
    assert raised.value.detail == BPF_LOAD


def test_born_in_a_cgroup(run, unified):
    output = run(ops.Clone(0, unified), ops.Exec(("/bin/busybox", "cat", "/proc/self/cgroup"), ()))
    assert f"0::/{os.path.basename(unified)}\n" in output


def test_cgroup_that_is_not_there(run):
    with pytest.raises(NotFound):
        run(ops.Clone(0, "/sys/fs/cgroup/utsuwa-test-none"), ops.Exec(("/bin/true",), ()))


def test_session_keyring_is_its_own(run):
    name = f"_ses.utsuwa-test-{os.getpid()}"
    output = run(ops.Clone(0), ops.SessionKeyring(name), ops.Exec(("/bin/busybox", "cat", "/proc/keys"), ()))
    line = next(line for line in output.splitlines() if f" {name}:" in line)
    # the owner may search it, so that a later process can join it by name
    assert line.split()[4] == "3f1b0000"

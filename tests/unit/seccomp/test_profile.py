"""What the default profile allows, asked of the compiled filter."""

from __future__ import annotations

import pytest

from tests.unit.seccomp import simulator
from utsuwa.seccomp.compile import compile
from utsuwa.seccomp.profile import default_profile
from utsuwa.seccomp.syscalls import TABLES, numbers

X86_64 = "SCMP_ARCH_X86_64"
ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x50001, 0x50026
REFUSED = (
    *("add_key", "keyctl", "request_key", "kexec_load", "kexec_file_load", "io_uring_setup", "io_uring_enter"),
    *(
        "io_uring_register",
        "userfaultfd",
        "move_pages",
        "migrate_pages",
        "swapon",
        "swapoff",
        "pivot_root",
        "nfsservctl",
    ),
    *("uselib", "ustat", "sysfs", "create_module", "query_module", "_sysctl"),
)


def ask(capabilities: tuple[str, ...], name: str, *arguments: int) -> int:
    program = simulator.parse(compile(default_profile(capabilities, X86_64), X86_64).filter)
    return simulator.run(program, 0xC000003E, numbers(X86_64)[name], arguments)


@pytest.mark.parametrize("name", REFUSED)
def test_no_capability_opens_these(name: str) -> None:
    every = tuple(f"CAP_{name}" for name in ("SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "SYS_NICE", "SYS_BOOT", "BPF"))
    assert ask((), name) == ask(every, name) == EPERM


@pytest.mark.parametrize(
    ("capability", "names"),
    [
        ("CAP_SYS_ADMIN", "mount umount2 unshare setns fsopen open_tree bpf sethostname syslog clone3"),
        ("CAP_SYS_CHROOT", "chroot"),
        ("CAP_SYS_MODULE", "init_module finit_module delete_module"),
        ("CAP_SYS_TIME", "settimeofday clock_settime"),
        ("CAP_SYS_NICE", "mbind set_mempolicy get_mempolicy"),
        ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
        ("CAP_SYS_BOOT", "reboot"),
        ("CAP_SYS_PACCT", "acct"),
        ("CAP_SYS_RAWIO", "iopl ioperm"),
        ("CAP_SYS_TTY_CONFIG", "vhangup"),
        ("CAP_SYSLOG", "syslog"),
        ("CAP_BPF", "bpf"),
        ("CAP_PERFMON", "perf_event_open"),
        ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    ],
)
def test_a_capability_opens_its_calls(capability: str, names: str) -> None:
    for name in names.split():
        assert ask((capability,), name) == ALLOW
        assert ask(("CAP_CHOWN",), name) == (ENOSYS if name == "clone3" else EPERM)


def test_new_namespaces_need_sys_admin() -> None:
    for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert ask((), "clone", flag | 17) == EPERM
        assert ask(("CAP_SYS_ADMIN",), "clone", flag | 17) == ALLOW
    assert ask((), "clone", 0x003D0F00) == ALLOW, "a thread"


def test_sockets_of_the_kernels_ciphers_and_the_hypervisor_are_refused() -> None:
    allowed = {family for family in range(64) if ask((), "socket", family) == ALLOW}
    assert set(range(64)) - allowed == {38, 40}


def test_personalities() -> None:
    asked = (*range(16), 0x20000, 0x20008, 0x40000, 0x40008, 0xFFFFFFFF)
    allowed = [personality for personality in asked if ask((), "personality", personality) == ALLOW]
    assert allowed == [0, 8, 0x20000, 0x20008, 0xFFFFFFFF]


def test_every_name_exists_somewhere() -> None:
    known = {name for architecture in TABLES for name in numbers(architecture)}
    elsewhere = {"riscv_hwprobe", "sync_file_range2"}
    for native in (X86_64, "SCMP_ARCH_AARCH64"):
        named = {name for rule in default_profile((), native).syscalls or () for name in rule.names}
        assert named - known <= elsewhere

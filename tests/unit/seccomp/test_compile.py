"""The compiler against libseccomp's own programs, and against the rules of the specification where the two part."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache

import pytest

from tests.needs import needs
from tests.unit.seccomp import libseccomp, meaning, simulator
from tests.unit.seccomp.meaning import verdict
from utsuwa.errors import InvalidArgument
from utsuwa.seccomp.compile import compile
from utsuwa.seccomp.profile import default_profile
from utsuwa.seccomp.syscalls import numbers
from utsuwa.spec.runtime import Seccomp, SyscallArg, SyscallRule

X86_64, X86, X32 = "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"
AARCH64, ARM = "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"
AUDIT = {X86_64: 0xC000003E, X86: 0x40000003, AARCH64: 0xC00000B7, ARM: 0x40000028}
FOREIGN = 0x80000016  # AUDIT_ARCH_S390X

ALLOW, LOG, TRAP, KILL, KILL_PROCESS = 0x7FFF0000, 0x7FFC0000, 0x30000, 0, 0x80000000
EPERM, ENOSYS = 0x50001, 0x50026


def profile(*rules: SyscallRule, default: str = "SCMP_ACT_ERRNO", **more: object) -> Seccomp:
    return Seccomp(**{"defaultAction": default, "architectures": (X86_64, X86, X32), "syscalls": rules, **more})


def rule(*names: str, action: str = "SCMP_ACT_ALLOW", errno: int | None = None, args: tuple = ()) -> SyscallRule:
    arguments = tuple(SyscallArg(index=i, op=op, value=value, valueTwo=second) for i, op, value, second in args)
    return SyscallRule(names=names, action=action, errnoRet=errno, args=arguments or None)


def judge(seccomp: Seccomp, name: str, *arguments: int, arch: str = X86_64, native: str = X86_64) -> int:
    program = simulator.parse(compile(seccomp, native).filter)
    simulator.verify(program)
    return simulator.run(program, AUDIT[X86_64 if arch == X32 else arch], numbers(arch)[name], arguments)


def reference(seccomp: Seccomp) -> simulator.Program:
    """What libseccomp makes of a profile when it is called as runc calls it."""
    default = verdict(seccomp.defaultAction, seccomp.defaultErrnoRet)
    with libseccomp.Filter(default, seccomp.architectures or ()) as filter:
        for entry in seccomp.syscalls or ():
            action = verdict(entry.action, entry.errnoRet)
            conditions = [(a.index, a.op, a.value, a.valueTwo) for a in entry.args or ()]
            split = len({condition[0] for condition in conditions}) < len(conditions)
            for name in entry.names if action != default else ():
                for alternative in [[condition] for condition in conditions] if split else [conditions]:
                    filter.add(name, action, alternative)
        return simulator.parse(filter.export())


def newest(seccomp: Seccomp, arch: str) -> int:
    known = numbers(arch)
    return max((known.get(name, 0) for entry in seccomp.syscalls or () for name in entry.names), default=0)


def stub(seccomp: Seccomp, arch: str, number: int) -> bool:
    """The call is newer than all that the profile names: runc answers ENOSYS before libseccomp's filter is asked."""
    if seccomp.defaultAction in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"):
        return False
    if arch == X86_64 and number & 0x40000000:
        arch = X32
    if arch not in (seccomp.architectures or ()):
        return False
    last = newest(seccomp, arch)
    return bool(last) and number > last


def compare(seccomp: Seccomp, native: str, vectors: list[tuple[int, ...]], calls: dict[str, list[int]]) -> None:
    ours = simulator.parse(compile(seccomp, native).filter)
    simulator.verify(ours)
    theirs = reference(seccomp)
    for arch, listed in calls.items():
        for number in listed:
            newer = stub(seccomp, arch, number)
            for vector in vectors:
                expected = ENOSYS if newer else simulator.run(theirs, AUDIT.get(arch, FOREIGN), number, vector)
                found = simulator.run(ours, AUDIT.get(arch, FOREIGN), number, vector)
                if found != expected:
                    assert arch in AUDIT
                    table = X32 if arch == X86_64 and number & 0x40000000 else arch
                    said = meaning.judge(seccomp, table, number, vector)
                    assert found == said, f"{table} {number:#x}{vector}: {found:#x}, libseccomp {expected:#x}"


OPERATORS = tuple(libseccomp.OPERATORS)
VALUES = (0, 1, 2, 5, 38, 0x7E020000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x1_0000_0000, 0x5_0000_0005, 2**64 - 1)
ACTIONS = (
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_LOG",
)
ELSEWHERE = ("socketcall", "ipc", "no_such_call")


@cache
def known_to_both(name: str) -> bool:
    """libseccomp has the same number as we for a call wherever it exists: it may be too old for some."""
    places = [(arch, numbers(arch)[name]) for arch in libseccomp.ARCHITECTURES if name in numbers(arch)]
    return all(libseccomp.name_of(*place) == name for place in places)


def generated(seed: int, native: str) -> Seccomp:
    """A profile in which no call has conditional rules with different actions: their order is libseccomp's secret."""
    random_ = random.Random(seed)
    companions = {X86_64: (X86, X32), AARCH64: (ARM,)}[native]
    architectures = (native, *(name for name in companions if random_.random() < 0.7))
    pool = [*filter(known_to_both, sorted(numbers(native))), *ELSEWHERE]
    rules = []
    random_.shuffle(pool)
    while pool and len(rules) < random_.choice((3, 20, 60)):
        names, pool = pool[: random_.choice((1, 1, 2, 40))], pool[40:]
        action = random_.choice((*ACTIONS, "SCMP_ACT_TRACE"))
        errno = random_.choice((None, 38, 99)) if action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE") else None
        for _ in range(random_.choice((1, 1, 2, 4))):
            count = random_.choice((0, 1, 1, 2, 3))
            args = tuple(condition(random_) for _ in range(count)) if names[0] not in ("socketcall", "ipc") else ()
            rules.append(rule(*names, action=action, errno=errno, args=args))
    return Seccomp(defaultAction=random_.choice(ACTIONS), architectures=architectures, syscalls=tuple(rules))


def condition(random_: random.Random) -> tuple[int, str, int, int]:
    return random_.randrange(6), random_.choice(OPERATORS), random_.choice(VALUES), random_.choice(VALUES)


def sample(seed: int, count: int) -> Iterator[tuple[int, ...]]:
    random_ = random.Random(seed)
    yield (0,) * 6
    for _ in range(count):
        yield tuple(random_.choice(VALUES) for _ in range(6))


needs_libseccomp = needs("libseccomp")
EDGES = [0x3FFFFFFF, 0x40000000, 0x40000000 + 512, 0x7FFFFFFF, 0x80000000, 0xC0000000, 0xFFFFFFFE, 0xFFFFFFFF]


@needs_libseccomp
@pytest.mark.parametrize("native", [X86_64, AARCH64])
@pytest.mark.parametrize("seed", range(25))
def test_generated_profiles_give_libseccomps_verdicts(seed: int, native: str) -> None:
    seccomp = generated(seed, native)
    numbers_ = [*range(0, 600, 3), *EDGES, *range(0xF0000, 0xF0008), *range(0x40000000, 0x40000230, 9)]
    named = {numbers(arch).get(name, 0) for arch in AUDIT for entry in seccomp.syscalls or () for name in entry.names}
    calls = {arch: sorted({*numbers_, *named}) for arch in (native, X86 if native == X86_64 else ARM, "foreign")}
    compare(seccomp, native, list(sample(seed, 4)), calls)


@needs_libseccomp
@pytest.mark.parametrize("capabilities", [(), ("CAP_SYS_ADMIN",), ("CAP_SYS_PTRACE", "CAP_SYS_TIME", "CAP_SYSLOG")])
@pytest.mark.parametrize("native", [X86_64, AARCH64])
def test_the_default_profile_gives_libseccomps_verdicts(native: str, capabilities: tuple[str, ...]) -> None:
    seccomp = default_profile(frozenset(capabilities), native)
    rules = [entry.replace(names=tuple(filter(known_to_both, entry.names))) for entry in seccomp.syscalls or ()]
    assert sum(len(entry.names) for entry in rules) > 300
    seccomp = seccomp.replace(syscalls=tuple(rules))
    vectors = [(0,) * 6, (38,), (40,), (39, 1), (8,), (0x20008,), (0xFFFFFFFF,), (0x10000000,), (1 << 32,), (0x11, 5)]
    calls = [*range(600), *EDGES, *range(0x40000000, 0x40000230), *range(0xF0000, 0xF0008)]
    compare(seccomp, native, vectors, dict.fromkeys((native, X86 if native == X86_64 else ARM, "foreign"), calls))


@pytest.mark.parametrize("native", [X86_64, AARCH64])
@pytest.mark.parametrize("seed", range(100, 120))
def test_generated_profiles_mean_what_their_rules_say(seed: int, native: str) -> None:
    seccomp = generated(seed, native)
    program = simulator.parse(compile(seccomp, native).filter)
    judged = 0
    for arch in (native, X86 if native == X86_64 else ARM):
        named = {numbers(arch)[name] for e in seccomp.syscalls or () for name in e.names if name in numbers(arch)}
        for number in named - {102, 117} if arch in (seccomp.architectures or ()) else ():
            for vector in sample(seed, 3):
                found = simulator.run(program, AUDIT[arch], number, vector)
                assert found == meaning.judge(seccomp, arch, number, vector), (arch, number, vector)
                judged += 1
    assert judged > 0


def test_the_argument_conditions() -> None:
    for operator, holds in meaning.HOLDS.items():
        if operator == "SCMP_CMP_MASKED_EQ":
            continue
        for value in VALUES:
            program = simulator.parse(compile(profile(rule("dup", args=((3, operator, value, 0),))), X86_64).filter)
            for base in VALUES:
                for argument in {max(0, base - 1), base, min(2**64 - 1, base + 1)}:
                    verdict_ = simulator.run(program, AUDIT[X86_64], numbers(X86_64)["dup"], (0, 0, 0, argument))
                    assert verdict_ == (ALLOW if holds(argument, value, 0) else EPERM), (operator, value, argument)


def test_a_masked_condition_looks_at_the_bits_of_the_mask_only() -> None:
    masked = profile(rule("clone", args=((0, "SCMP_CMP_MASKED_EQ", 0x1_0000_00F0, 0x1_0000_0020),)))
    assert judge(masked, "clone", 0xF_0000_002F) == ALLOW
    assert judge(masked, "clone", 0x0_0000_0020) == EPERM
    assert judge(masked, "clone", 0x1_0000_0030) == EPERM


def test_conditions_on_different_arguments_must_all_hold() -> None:
    both = profile(rule("dup", args=((0, "SCMP_CMP_EQ", 1, 0), (1, "SCMP_CMP_EQ", 2, 0))))
    assert judge(both, "dup", 1, 2) == ALLOW
    assert judge(both, "dup", 1, 3) == judge(both, "dup", 3, 2) == EPERM


def test_conditions_on_the_same_argument_are_alternatives() -> None:
    either = profile(rule("dup", args=((0, "SCMP_CMP_EQ", 1, 0), (0, "SCMP_CMP_EQ", 2, 0), (1, "SCMP_CMP_EQ", 7, 0))))
    assert judge(either, "dup", 1) == judge(either, "dup", 2) == judge(either, "dup", 9, 7) == ALLOW
    assert judge(either, "dup", 3) == EPERM


def test_a_rule_without_conditions_decides_over_conditional_ones() -> None:
    conditional = rule("dup", action="SCMP_ACT_KILL", args=((0, "SCMP_CMP_EQ", 1, 0),))
    assert judge(profile(conditional, rule("dup")), "dup", 1) == ALLOW
    assert judge(profile(rule("dup"), conditional, rule("dup", action="SCMP_ACT_TRAP")), "dup", 1) == ALLOW


def test_rules_asking_for_the_default_are_skipped() -> None:
    redundant = profile(rule("dup", action="SCMP_ACT_ERRNO"), rule("dup"))
    assert judge(redundant, "dup") == ALLOW


def test_of_overlapping_conditional_rules_the_first_listed_decides() -> None:
    first = rule("dup", action="SCMP_ACT_TRAP", args=((0, "SCMP_CMP_GE", 5, 0),))
    second = rule("dup", args=((0, "SCMP_CMP_LE", 7, 0),))
    assert judge(profile(first, second), "dup", 6) == TRAP
    assert judge(profile(second, first), "dup", 6) == ALLOW


def test_calls_newer_than_the_profile_are_unknown_rather_than_forbidden() -> None:
    old = profile(rule("read", "openat2", "no_such_call"))
    assert judge(old, "openat2") == ALLOW
    assert judge(old, "clone3") == EPERM
    assert judge(old, "faccessat2") == ENOSYS
    assert judge(old, "faccessat2", arch=X32) == ENOSYS
    assert judge(old, "faccessat2", arch=X86) == ENOSYS
    assert judge(old.replace(defaultAction="SCMP_ACT_KILL"), "faccessat2") == ENOSYS
    assert judge(old.replace(defaultAction="SCMP_ACT_LOG"), "faccessat2") == LOG


def test_the_default_errno_is_used_below_the_newest_call() -> None:
    enxio = profile(rule("read", "openat2"), defaultErrnoRet=6)
    assert judge(enxio, "mkdir") == 0x50006
    assert judge(enxio, "faccessat2") == ENOSYS


def test_architectures_that_are_not_listed_kill() -> None:
    only = profile(rule("read"), default="SCMP_ACT_ALLOW", architectures=())
    assert judge(only, "read") == ALLOW, "the native one is always judged"
    assert judge(only, "read", arch=X86) == KILL
    assert judge(only, "read", arch=X32) == KILL
    program = simulator.parse(compile(only, X86_64).filter)
    assert simulator.run(program, AUDIT[X86_64], -1) == ALLOW, "a tracer's way to skip a call"


def test_foreign_architectures_in_the_list_change_nothing() -> None:
    listed = profile(rule("read"), architectures=(X86_64, "SCMP_ARCH_S390X", "SCMP_ARCH_MIPS64"))
    assert compile(listed, X86_64) == compile(listed.replace(architectures=None), X86_64)


def test_socketcall_is_judged_by_its_selector() -> None:
    sockets = profile(rule("socket", "accept"), architectures=(X86_64, X86))
    assert judge(sockets, "socketcall", 1, arch=X86) == ALLOW
    assert judge(sockets, "socketcall", 5, arch=X86) == ALLOW
    assert judge(sockets, "socketcall", 2, arch=X86) == EPERM
    assert judge(sockets, "socket", arch=X86) == ALLOW


def test_flags() -> None:
    assert compile(profile(), X86_64).flags == 4, "runc's default"
    assert compile(profile(flags=()), X86_64).flags == 0
    every = ("SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW")
    assert compile(profile(flags=every), X86_64).flags == 6
    assert compile(profile(flags=every[:1]), X86_64).flags == 0


@pytest.mark.parametrize(
    ("seccomp", "message"),
    [
        (profile(rule("dup", errno=5)), "linux.seccomp.syscalls[0].errnoRet: only"),
        (profile(default="SCMP_ACT_KILL", defaultErrnoRet=5), "linux.seccomp.defaultErrnoRet: only"),
        (profile(default="SCMP_ACT_NOTIFY"), "SCMP_ACT_NOTIFY cannot be used as default action"),
        (profile(rule("write", action="SCMP_ACT_NOTIFY")), "SCMP_ACT_NOTIFY cannot be used for the write syscall"),
        (profile(rule("dup", args=((6, "SCMP_CMP_EQ", 0, 0),))), "linux.seccomp.syscalls[0].args[0].index"),
        (profile(flags=("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",)), "linux.seccomp.flags[0]: "),
    ],
)
def test_what_the_specification_forbids(seccomp: Seccomp, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        compile(seccomp, X86_64)
    assert message in str(caught.value)


def test_a_rule_that_asks_an_agent_needs_a_listener() -> None:
    asking = rule("mkdir", action="SCMP_ACT_NOTIFY")
    assert judge(profile(asking), "mkdir") == 0x7FC0_0000
    assert compile(profile(asking), X86_64).flags == 4 | 8
    assert compile(profile(asking, flags=("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",)), X86_64).flags == 32 | 8


def long(conditions: int) -> Seccomp:
    args = [((0, "SCMP_CMP_EQ", value, 0),) for value in range(conditions)]
    return profile(*(rule("dup", args=each) for each in args), architectures=())


def test_long_programs_jump_far() -> None:
    names = sorted(numbers(X86_64))
    rules = [rule(name, args=((0, "SCMP_CMP_EQ", at, 0),)) for at, name in enumerate(names)]
    program = simulator.parse(compile(profile(*rules, architectures=()), X86_64).filter)
    simulator.verify(program)
    assert len(program) > 1500
    for at, name in enumerate(names):
        number = numbers(X86_64)[name]
        assert simulator.run(program, AUDIT[X86_64], number, (at,)) == ALLOW
        assert simulator.run(program, AUDIT[X86_64], number, (at + 1,)) == EPERM


def test_a_program_too_long_for_the_kernel_is_refused() -> None:
    assert judge(long(900), "dup", 899) == ALLOW
    with pytest.raises(InvalidArgument, match="the kernel allows 4096"):
        compile(long(1100), X86_64)

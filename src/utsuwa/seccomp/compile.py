"""From an OCI seccomp profile to the program that seccomp(2) loads.

Meaning follows runc and libseccomp, which profiles in the wild are written for:

* the conditions of a rule must all hold, unless two are about the same argument: then any one does;
* of rules for one system call, the first without conditions decides, else the first whose conditions hold;
* names that an architecture doesn't have are skipped for it, and so are rules that ask for the default action;
* an architecture that the profile doesn't name kills: its calls would be judged by the wrong table;
* where the default is to refuse, calls newer than the newest one that the profile names give ENOSYS, so that a C
  library falls back to what it did before them, as on an older kernel;
* socketcall(2) and ipc(2) of 32-bit x86 are filtered by the call they carry, whose arguments can't be tested there.

Order differs in one point: libseccomp sorts the conditions of overlapping rules with different actions by an order of
its own; here the profile's order counts.
"""

from __future__ import annotations

from utsuwa.errors import InvalidArgument
from utsuwa.seccomp.assembler import ARCHITECTURE, EQUAL, NUMBER, OPERATORS, Assembler
from utsuwa.seccomp.program import Program, native_architecture
from utsuwa.seccomp.syscalls import numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.spec.runtime import Seccomp, SyscallRule

    Condition = tuple[int, str, int, int]
    Chain = tuple[tuple[tuple[Condition, ...], int], ...]
    Rule = tuple[tuple[str, ...], int, tuple[tuple[Condition, ...], ...]]

MOST_INSTRUCTIONS = 4096
"""BPF_MAXINSNS, the longest program that the kernel takes."""

_ERRNO = 0x0005_0000
_ACTIONS = {
    "SCMP_ACT_KILL": 0x0000_0000,
    "SCMP_ACT_KILL_THREAD": 0x0000_0000,
    "SCMP_ACT_KILL_PROCESS": 0x8000_0000,
    "SCMP_ACT_TRAP": 0x0003_0000,
    "SCMP_ACT_ERRNO": _ERRNO,
    "SCMP_ACT_TRACE": 0x7FF0_0000,
    "SCMP_ACT_LOG": 0x7FFC_0000,
    "SCMP_ACT_ALLOW": 0x7FFF_0000,
    "SCMP_ACT_NOTIFY": 0x7FC0_0000,
}
_PERMISSIVE = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
_EPERM = 1
_ENOSYS = ~(_ERRNO | 38)
_BAD_ARCHITECTURE = ~_ACTIONS["SCMP_ACT_KILL_THREAD"]

_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 0,  # accepted and without effect: one thread loads the filter
    "SECCOMP_FILTER_FLAG_LOG": 1 << 1,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 1 << 2,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 1 << 5,
}
_NEW_LISTENER = 1 << 3

_AUDIT = {
    "SCMP_ARCH_X86_64": 0xC000_003E,
    "SCMP_ARCH_X86": 0x4000_0003,
    "SCMP_ARCH_AARCH64": 0xC000_00B7,
    "SCMP_ARCH_ARM": 0x4000_0028,
}
_FAMILIES = {
    "SCMP_ARCH_X86_64": ("SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "SCMP_ARCH_AARCH64": ("SCMP_ARCH_ARM",),
    "SCMP_ARCH_X86": (),
    "SCMP_ARCH_ARM": (),
}
_X32_BIT = 0x4000_0000
_BIT_31 = 0x8000_0000
_SKIPPED = 0xFFFF_FFFF

_SOCKETCALL, _IPC = 102, 117
# The selectors of the multiplexed calls: linux/net.h (SYS_SOCKET …) and linux/ipc.h (SEMOP …).
_SELECTORS = {
    name: (_SOCKETCALL, selector)
    for selector, name in enumerate(
        (
            *("socket", "bind", "connect", "listen", "accept", "getsockname", "getpeername", "socketpair", "send"),
            *("recv", "sendto", "recvfrom", "shutdown", "setsockopt", "getsockopt", "sendmsg", "recvmsg", "accept4"),
            *("recvmmsg", "sendmmsg"),
        ),
        start=1,
    )
}
_SELECTORS |= {name: (_IPC, at) for at, name in enumerate(("semop", "semget", "semctl", "semtimedop"), start=1)}
_SELECTORS |= {name: (_IPC, at) for at, name in enumerate(("msgsnd", "msgrcv", "msgget", "msgctl"), start=11)}
_SELECTORS |= {name: (_IPC, at) for at, name in enumerate(("shmat", "shmdt", "shmget", "shmctl"), start=21)}


def compile(seccomp: Seccomp, native_arch: str = "") -> Program:
    """The filter program of a profile, for the kernel's ``native_arch`` (default: this machine's) and those of its
    companions that the profile lists; other architectures can't occur on this kernel and are left out.

    Raises InvalidArgument with the JSON path for what the specification forbids and for a program longer than the
    kernel takes (OCI runtime-spec, config-linux.md, "Seccomp").
    """
    native = native_arch or native_architecture()
    default = ~_verdict(seccomp.defaultAction, seccomp.defaultErrnoRet, "defaultAction", "defaultErrnoRet")
    notifies = any(rule.action == "SCMP_ACT_NOTIFY" for rule in seccomp.syscalls or ())
    flags = _flags(seccomp.flags, notifies)
    rules = [_rule(rule, f"syscalls[{at}]") for at, rule in enumerate(seccomp.syscalls or ())]
    newer = default if seccomp.defaultAction in _PERMISSIVE else _ENOSYS
    architectures = [native, *(name for name in _FAMILIES[native] if name in (seccomp.architectures or ()))]
    assembler = Assembler()
    other = _BAD_ARCHITECTURE
    for name in reversed([name for name in architectures if name != "SCMP_ARCH_X32"]):
        assembler.entry(_section(assembler, name, rules, default, newer, "SCMP_ARCH_X32" in architectures))
        other = assembler.branch(EQUAL, _AUDIT[name], assembler.load(NUMBER), other)
    assembler.load(ARCHITECTURE)
    if len(assembler) > MOST_INSTRUCTIONS:
        raise InvalidArgument(
            f"linux.seccomp: the filter takes {len(assembler)} instructions, the kernel allows {MOST_INSTRUCTIONS}: "
            "name fewer conditions"
        )
    return Program(assembler.bytes(), flags)


def _verdict(action: str, errno: int | None, path: str, errno_path: str) -> int:
    """SECCOMP_RET_* with its data."""
    if action == "SCMP_ACT_NOTIFY" and path == "defaultAction":  # write(2) would ask too, see _rule
        raise InvalidArgument("linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be used as default action")
    base = _ACTIONS.get(action)
    if base is None:
        raise InvalidArgument(f'linux.seccomp.{path}: unknown action "{action}"')
    if action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        return base | (_EPERM if errno is None else errno & 0xFFFF)
    if errno is not None:
        raise InvalidArgument(f"linux.seccomp.{errno_path}: only SCMP_ACT_ERRNO and SCMP_ACT_TRACE take a number")
    return base


def _flags(names: tuple[str, ...] | None, notifies: bool) -> int:
    """SECCOMP_FILTER_FLAG_*, with a listener where a rule asks an agent.

    A profile that says nothing gets SPEC_ALLOW, as with runc: the kernel's own mitigation of speculative store bypass
    for every filtered process costs more than the filter.
    """
    listener = _NEW_LISTENER if notifies else 0
    if names is None:
        return _FLAGS["SECCOMP_FILTER_FLAG_SPEC_ALLOW"] | listener
    flags = listener
    for at, name in enumerate(names):
        if name == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" and not notifies:  # EINVAL, says the kernel
            raise InvalidArgument(f"linux.seccomp.flags[{at}]: {name} needs a rule with SCMP_ACT_NOTIFY")
        if name not in _FLAGS:
            raise InvalidArgument(f'linux.seccomp.flags[{at}]: unknown flag "{name}"')
        flags |= _FLAGS[name]
    return flags


def _rule(rule: SyscallRule, path: str) -> Rule:
    """(names, verdict, alternatives): without alternatives the verdict holds always, else when all of one hold."""
    # The filtered process tells its runtime that there is a listener to fetch, by write(2).
    if rule.action == "SCMP_ACT_NOTIFY" and "write" in rule.names:
        raise InvalidArgument(f"linux.seccomp.{path}: SCMP_ACT_NOTIFY cannot be used for the write syscall")
    target = ~_verdict(rule.action, rule.errnoRet, f"{path}.action", f"{path}.errnoRet")
    if not rule.args:
        return rule.names, target, ()
    conditions: list[Condition] = []
    for at, argument in enumerate(rule.args):
        if argument.index > 5:
            raise InvalidArgument(f"linux.seccomp.{path}.args[{at}].index: {argument.index} is more than 5")
        if argument.op not in OPERATORS:
            raise InvalidArgument(f'linux.seccomp.{path}.args[{at}].op: unknown operator "{argument.op}"')
        conditions.append((argument.index, argument.op, argument.value, argument.valueTwo or 0))
    if len({condition[0] for condition in conditions}) < len(conditions):
        return rule.names, target, tuple((condition,) for condition in conditions)
    return rule.names, target, (tuple(conditions),)


class _Ranges:
    """The system call numbers of one audit architecture, cut into ranges with one target each."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.targets: list[int] = []

    def begin(self, start: int, target: int) -> None:
        """From ``start`` on, up to the next one, the verdict is ``target``."""
        if self.starts and self.starts[-1] == start:
            self.starts.pop()
            self.targets.pop()
        if not self.targets or self.targets[-1] != target:
            self.starts.append(start)
            self.targets.append(target)

    def table(self, base: int, targets: dict[int, int], newest: int, default: int, newer: int) -> int:
        """The calls of one table, which begins at ``base``; returns the target of those beyond its ``newest`` one."""
        self.begin(base, default)
        following, current = base, default
        for number in sorted(targets):  # hundreds: hence not by begin()
            if number != following and current != default:
                self.begin(following, default)
                current = default
            if targets[number] != current:
                current = targets[number]
                self.begin(number, current)
            following = number + 1
        self.begin(following, default)
        if not newest:  # the profile names nothing that this architecture has: what its author knew can't be told
            return default
        self.begin(newest + 1, newer)
        return newer


def _section(assembler: Assembler, name: str, rules: list[Rule], default: int, newer: int, x32: bool) -> int:
    """Code that judges a call of one audit architecture by its number, which must be loaded."""
    ranges = _Ranges()
    beyond = ranges.table(0, *_targets(assembler, name, rules, default), default, newer)
    if name == "SCMP_ARCH_X86_64":
        # x32 calls are x86-64 calls with bit 30 set; of numbers with bit 31 none is a call.
        if x32:
            named = _targets(assembler, "SCMP_ARCH_X32", rules, default)
            beyond_x32 = last = ranges.table(_X32_BIT, *named, default, newer)
        else:
            beyond_x32 = _BAD_ARCHITECTURE
            ranges.begin(_X32_BIT, beyond_x32)
            last = default
        ranges.begin(_BIT_31, beyond if x32 or beyond != default else _BAD_ARCHITECTURE)
        ranges.begin(_BIT_31 | _X32_BIT, beyond_x32)
        # A tracer skips a call by making its number -1, and then the filter is asked again: that must not kill.
        ranges.begin(_SKIPPED, last)
    return assembler.tree(ranges.starts, ranges.targets, 0, len(ranges.starts))


def _targets(assembler: Assembler, architecture: str, rules: list[Rule], default: int) -> tuple[dict[int, int], int]:
    """By system call number, where the tree goes, and the highest number named; also puts down what tests arguments."""
    wide = architecture in ("SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64")
    targets: dict[int, int] = {}
    chains: dict[int, Chain] = {}
    known = numbers(architecture)
    newest = 0
    for names, target, alternatives in rules:
        named = [known[name] for name in names if name in known]
        newest = max(newest, *named, 0)
        if target == default:
            continue
        chain: Chain = tuple([(conditions, target) for conditions in alternatives])
        for number in named:
            if chain:
                chains[number] = chains.get(number, ()) + chain
            else:
                targets.setdefault(number, target)
    if architecture == "SCMP_ARCH_X86" and not (_SOCKETCALL in targets and _IPC in targets):
        _multiplexed(chains, [rule for rule in rules if rule[1] != default])
    placed: dict[Chain, int] = {}
    for number, chain in chains.items():
        if number not in targets:
            if chain not in placed:
                placed[chain] = assembler.chain(chain, wide, default)
            targets[number] = placed[chain]
    return targets, newest


def _multiplexed(chains: dict[int, Chain], rules: list[Rule]) -> None:
    """Add to ``chains`` what rules mean for socketcall(2) and ipc(2) of 32-bit x86.

    The selector is their first argument; conditions on the first argument of the call they carry are dropped, as
    libseccomp does.
    """
    for names, target, alternatives in rules:
        for name in names:
            if name in _SELECTORS:
                number, selector = _SELECTORS[name]
                selected = (0, "SCMP_CMP_EQ", selector, 0)
                for conditions in alternatives or ((),):
                    rest = [condition for condition in conditions if condition[0] != 0]
                    chains[number] = (*chains.get(number, ()), ((selected, *rest), target))

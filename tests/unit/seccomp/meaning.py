"""What a profile means, read straight off its rules: the judge where our program and libseccomp's part.

libseccomp has faults of its own that make rules vanish.  Of its release 2.5.4 were seen: 64-bit comparisons of several
rules merged wrongly (GHSA-4q85-33p6-j5g6, mended in 2.6.1); and the section of a second architecture comparing the
architecture with the system call's number, which it had not loaded.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.unit.seccomp import libseccomp
from utsuwa.seccomp.syscalls import numbers
from utsuwa.spec.runtime import Seccomp, SyscallRule

HOLDS = {
    "SCMP_CMP_EQ": lambda argument, value, second: argument == value,
    "SCMP_CMP_NE": lambda argument, value, second: argument != value,
    "SCMP_CMP_LT": lambda argument, value, second: argument < value,
    "SCMP_CMP_LE": lambda argument, value, second: argument <= value,
    "SCMP_CMP_GT": lambda argument, value, second: argument > value,
    "SCMP_CMP_GE": lambda argument, value, second: argument >= value,
    "SCMP_CMP_MASKED_EQ": lambda argument, value, second: argument & value == second & value,
}
_WIDE = ("SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64")


def verdict(action: str, errno: int | None) -> int:
    """SECCOMP_RET_* with its data."""
    return libseccomp.ACTIONS[action] | ((1 if errno is None else errno) if action.endswith(("ERRNO", "TRACE")) else 0)


def _applies(rule: SyscallRule, mask: int, arguments: Sequence[int]) -> bool:
    found = [
        HOLDS[item.op](arguments[item.index] & mask, item.value & mask, item.valueTwo & mask)
        for item in rule.args or ()
    ]
    alternatives = len({item.index for item in rule.args or ()}) < len(found)
    return any(found) if alternatives else all(found)


def judge(seccomp: Seccomp, architecture: str, number: int, arguments: Sequence[int]) -> int:
    """The verdict for a call that the profile names, or that is older than the newest one it names."""
    names = {name for name, known in numbers(architecture).items() if known == number}
    mask = 2**64 - 1 if architecture in _WIDE else 2**32 - 1
    default = verdict(seccomp.defaultAction, seccomp.defaultErrnoRet)
    rules = [(verdict(rule.action, rule.errnoRet), rule) for rule in seccomp.syscalls or () if names & set(rule.names)]
    rules = [(action, rule) for action, rule in rules if action != default]
    for action, rule in rules:
        if not rule.args:
            return action
    return next((action for action, rule in rules if _applies(rule, mask, arguments)), default)

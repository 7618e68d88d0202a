"""An assembler for classic BPF as seccomp(2) runs it: loads, ANDs, forward branches and returns.

Branches of classic BPF only go forward, so a program is put together from its end to its start: whatever a branch goes
to exists already, and how far away it is, is known.  A *target* is a position, counted in instructions from the end of
the program, or the bitwise complement of a verdict (SECCOMP_RET_*), which means "return that".

struct sock_filter and the opcodes: linux/filter.h, linux/bpf_common.h; struct seccomp_data: linux/seccomp.h.
"""

from __future__ import annotations

from struct import pack

EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
GREATER = 0x25  # BPF_JMP | BPF_JGT | BPF_K
AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP = 0x05  # BPF_JMP | BPF_JA
_RETURN = 0x06  # BPF_RET | BPF_K

NUMBER = 0
"""Where struct seccomp_data holds the system call number."""
ARCHITECTURE = 4
"""Where it holds AUDIT_ARCH_*."""
_ARGUMENTS = 16
_LOW = 0xFFFF_FFFF

# A conditional branch reaches 255 instructions; five less, because resolving its second target may put an instruction
# between it and its first.
_REACH = 250
_NOWHERE = -_REACH - 1


class Assembler:
    """A program under construction, last instruction first."""

    def __init__(self) -> None:
        self._code: list[int] = []  # struct sock_filter as one little-endian 64-bit number
        self._returns: dict[int, int] = {}

    def __len__(self) -> int:
        """The number of instructions so far, which is also the target that goes to the latest one."""
        return len(self._code)

    def bytes(self) -> bytes:
        """The program as struct sock_filter[]."""
        return pack(f"<{len(self._code)}Q", *reversed(self._code))

    def load(self, offset: int) -> int:
        """Load the 32 bits at ``offset`` of struct seccomp_data, go on with the latest instruction."""
        self._code.append(_LOAD | offset << 32)
        return len(self._code)

    def branch(self, operation: int, value: int, yes: int, no: int) -> int:
        """Compare what was loaded with ``value`` and go to the target ``yes`` or ``no``."""
        code = self._code
        at = len(code)
        yes_at = self._returns.get(yes, _NOWHERE) if yes < 0 else yes
        no_at = self._returns.get(no, _NOWHERE) if no < 0 else no
        if at - yes_at > _REACH or at - no_at > _REACH:
            yes_at = self._near(yes)
            no_at = self._near(no)
            at = len(code)
        code.append(operation | (at - yes_at) << 16 | (at - no_at) << 24 | value << 32)
        return at + 1

    def entry(self, target: int) -> int:
        """Make ``target`` the place where the program so far begins."""
        near = self._near(target)
        if near != len(self._code):
            self._code.append(_JUMP | (len(self._code) - near) << 32)
        return len(self._code)

    def tree(self, starts: list[int], targets: list[int], first: int, last: int) -> int:
        """Search what was loaded among ``starts[first:last]`` (ascending) and go to the target of its range.

        A binary tree that halves the numbers, not the ranges: the kernel asks for every number once when it takes a
        filter (seccomp_cache_prepare), so long ranges should be found soon.
        """
        if last - first == 1:
            return targets[first]
        if last - first == 3 and targets[first] == targets[first + 2] and starts[first + 2] - starts[first + 1] == 1:
            return self.branch(EQUAL, starts[first + 1], targets[first + 1], targets[first])
        half = (starts[first] + starts[last - 1]) // 2
        middle = next(index for index in range(first + 1, last) if index == last - 1 or starts[index] > half)
        above = self.tree(starts, targets, middle, last)
        below = self.tree(starts, targets, first, middle)
        return self.branch(AT_LEAST, starts[middle], above, below)

    def chain(self, rules: tuple[tuple[tuple[tuple[int, str, int, int], ...], int], ...], wide: bool, no: int) -> int:
        """Go to the target of the first of ``rules`` (conditions, target) whose conditions all hold, else to ``no``."""
        for conditions, yes in reversed(rules):
            for condition in reversed(conditions):
                yes = self.compare(condition, wide, yes, no)
            no = yes
        return no

    def compare(self, condition: tuple[int, str, int, int], wide: bool, yes: int, no: int) -> int:
        """Test one argument: (index, operator, value, second value) as in the OCI ``SyscallArg``.

        ``wide`` compares all 64 bits; the 32-bit architectures, x32 among them, pass only the lower half.
        """
        index, operator, value, second = condition
        low = _ARGUMENTS + 8 * index  # little endian: the lower half comes first
        if operator == "SCMP_CMP_MASKED_EQ":
            # The datum is masked too, as libseccomp does: bits outside of the mask don't make a rule that never holds.
            yes = self._masked(low, value & _LOW, second & _LOW, yes, no)
            return self._masked(low + 4, value >> 32, second >> 32, yes, no) if wide else yes
        operation, negated = _COMPARISONS[operator]
        if negated:
            yes, no = no, yes
        self.branch(operation, value & _LOW, yes, no)
        lower = self.load(low)
        if not wide:
            return lower
        upper = self.branch(EQUAL, value >> 32, lower, no)
        if operation != EQUAL:
            self.branch(GREATER, value >> 32, yes, upper)
        return self.load(low + 4)

    def _masked(self, offset: int, mask: int, datum: int, yes: int, no: int) -> int:
        if not mask:
            return yes
        self.branch(EQUAL, datum & mask, yes, no)
        if mask != _LOW:
            self._code.append(_AND | mask << 32)
        return self.load(offset)

    def _near(self, target: int) -> int:
        """A position within reach of the next instruction that leads to ``target``."""
        code = self._code
        if target < 0:
            at = self._returns.get(target, _NOWHERE)
            if len(code) - at > _REACH:
                code.append(_RETURN | ~target << 32)
                at = self._returns[target] = len(code)
            return at
        if len(code) - target > _REACH:
            code.append(_JUMP | (len(code) - target) << 32)
            return len(code)
        return target


_COMPARISONS = {
    "SCMP_CMP_EQ": (EQUAL, False),
    "SCMP_CMP_NE": (EQUAL, True),
    "SCMP_CMP_GT": (GREATER, False),
    "SCMP_CMP_LE": (GREATER, True),
    "SCMP_CMP_GE": (AT_LEAST, False),
    "SCMP_CMP_LT": (AT_LEAST, True),
}
OPERATORS = frozenset((*_COMPARISONS, "SCMP_CMP_MASKED_EQ"))
"""The OCI names of all comparisons."""
